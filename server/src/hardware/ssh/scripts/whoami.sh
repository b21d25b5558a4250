# Proves that the log-in becomes root.
id -u
