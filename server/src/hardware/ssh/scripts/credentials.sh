# Writes what the agent needs to dial in. Input: its folder, then pairs of lines: a file's name, its content in base64.
# The names are the server's own; the last one makes the agent begin.
set -e
umask 077
IFS= read -r dir
mkdir -p "$dir"
chmod 711 "$dir"
while IFS= read -r name && IFS= read -r content; do
    printf '%s' "$content" | base64 -d >"$dir/$name.new"
    mv -f "$dir/$name.new" "$dir/$name"
done
