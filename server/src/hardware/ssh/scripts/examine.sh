# What is missing. Input: the agent's folder, then package names, one a line.
IFS= read -r dir
missing=
while IFS= read -r package; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)
    [ "$state" = installed ] || missing="$missing $package"
done
printf 'missing=%s\n' "$missing"
if [ -d /run/systemd/system ]; then printf 'systemd=yes\n'; else printf 'systemd=no\n'; fi
sum=$(sha256sum "$dir/cairn-agent" 2>/dev/null)
printf 'sha256=%s\n' "${sum%% *}"
