# The totals for each airport of origin, as examples/activity.cpp prints them, by other means.
# Takes each {...} for one record: for files without nested objects and without braces in strings.
BEGIN { RS = "}" }

function text(name,    at) {
    if (!match($0, "\"" name "\"[ \t\r\n]*:[ \t\r\n]*\"[^\"]*\"")) return ""
    at = substr($0, RSTART, RLENGTH - 1)
    sub(/^.*"/, "", at)
    return at
}
function number(name,    at) {
    if (!match($0, "\"" name "\"[ \t\r\n]*:[ \t\r\n]*-?[0-9]+")) return 0
    at = substr($0, RSTART, RLENGTH)
    sub(/^.*:[ \t\r\n]*/, "", at)
    return at + 0
}

/{/ {
    origin = text("origin")
    flights[origin]++
    delay[origin] += number("delay")
    distance[origin] += number("distance")
}

END {
    n = 0
    for (origin in flights) {  # an insertion sort: not every awk has another
        for (i = n++; i > 0 && sorted[i - 1] > origin; i--) sorted[i] = sorted[i - 1]
        sorted[i] = origin
    }
    for (i = 0; i < n; i++) {
        origin = sorted[i]
        printf "%s %10d %10d %12d\n", origin, flights[origin], delay[origin], distance[origin]
    }
}
