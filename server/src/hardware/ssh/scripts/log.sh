# The end of the agent's log. Input: its folder.
IFS= read -r dir
if [ -d /run/systemd/system ]; then journalctl -u cairn-agent.service -n 20 --no-pager -o cat; else tail -n 20 "$dir/agent.log"; fi
