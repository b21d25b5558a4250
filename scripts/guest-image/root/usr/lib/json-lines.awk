# Prints each plain value of a JSON document as: path TAB value (newlines in a value become new lines with the
# same path). { "a": { "b": "c" }, "d": [1] } gives ".a.b<TAB>c" and ".d.0<TAB>1".
{ text = text $0 "\n" }
END { pos = 1; read_value("") }

function skip_space() { while (substr(text, pos, 1) ~ /[ \t\r\n]/) pos++ }

function read_string(    out, c) {
    pos++
    while (pos <= length(text) && (c = substr(text, pos, 1)) != "\"") {
        if (c == "\\") {
            c = substr(text, ++pos, 1)
            if (c == "n") c = "\n"
            else if (c == "t") c = "\t"
            else if (c == "r" || c == "b" || c == "f") c = ""
            else if (c == "u") {
                c = sprintf("%c", hex(substr(text, pos + 1, 4)))
                pos += 4
            }
        }
        out = out c
        pos++
    }
    pos++
    return out
}

function hex(digits,    i, n) {
    for (i = 1; i <= length(digits); i++)
        n = n * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
    return n
}

function show(path, value,    n, lines, i) {
    n = split(value, lines, "\n")
    for (i = 1; i <= n; i++) if (lines[i] != "") print path "\t" lines[i]
}

function read_value(path,    c, key, n, start) {
    skip_space()
    c = substr(text, pos, 1)
    if (c == "\"") { show(path, read_string()); return }
    if (c != "{" && c != "[") {
        start = pos
        while (pos <= length(text) && substr(text, pos, 1) !~ /[],} \t\r\n]/) pos++
        show(path, substr(text, start, pos - start))
        return
    }
    pos++
    n = 0
    while (pos <= length(text)) {
        skip_space()
        if (substr(text, pos, 1) ~ /[]},]/) {
            if (substr(text, pos++, 1) != ",") return
            continue
        }
        key = n++
        if (c == "{") { key = read_string(); skip_space(); pos++ }
        read_value(path "." key)
    }
}
