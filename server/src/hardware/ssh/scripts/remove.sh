# Ends the agent and removes its networks and files. Guests, volumes and packages stay. Input: its folder.
IFS= read -r dir
[ -n "$dir" ] && [ "$dir" != / ] || exit 1
if [ -d /run/systemd/system ] && [ -e /etc/systemd/system/cairn-agent.service ]; then
    systemctl disable --now cairn-agent.service 2>/dev/null
    rm -f /etc/systemd/system/cairn-agent.service
    systemctl daemon-reload
else
    pid=$(cat "$dir/agent.pid" 2>/dev/null)
    if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/exe" | sed 's/ (deleted)$//')" = "$dir/cairn-agent" ]; then
        kill "$pid" 2>/dev/null
        tries=0
        while [ -e "/proc/$pid/exe" ] && [ "$tries" -lt 100 ]; do
            sleep 0.1
            tries=$((tries + 1))
        done
    fi
fi
[ -x "$dir/cairn-agent" ] && "$dir/cairn-agent" --dir "$dir" --purge
for name in agent.json ca.pem cert.pem key.pem agent.pid agent.log agent.lock cairn-agent cairn-agent.new; do
    rm -f "$dir/$name"
done
rm -rf "$dir/state" "$dir/vms"
rmdir "$dir" 2>/dev/null
exit 0
