# Puts the agent's program in place. Input: its folder on the first line, then the program itself.
set -e
IFS= read -r dir
mkdir -p "$dir"
chmod 711 "$dir"
cat >"$dir/cairn-agent.new"
chmod 755 "$dir/cairn-agent.new"
"$dir/cairn-agent.new" --version
mv -f "$dir/cairn-agent.new" "$dir/cairn-agent"
