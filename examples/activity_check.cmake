# Is what examples/activity.cpp says true? Its totals must be those of activity_totals.awk, from an
# array, from lines, from stdin; malformed records must be reported where they are, and do no harm.
#   cmake -DPROGRAM=<activity> -DDIR=<to write in> -P examples/activity_check.cmake
cmake_minimum_required(VERSION 3.25)
find_program(awk NAMES awk mawk gawk REQUIRED)
set(here "${CMAKE_CURRENT_LIST_DIR}")
file(MAKE_DIRECTORY ${DIR})
set(errors 0)
macro(complain text)
  message(NOTICE "${text}")
  math(EXPR errors "${errors} + 1")
endmacro()

# Runs activity on ARGUMENT (input: INPUT) and compares: the totals with what awk makes of GOOD, the
# lines reported on stderr with REPORTS, the counts.
function(check name)
  cmake_parse_arguments(PARSE_ARGV 1 a "" "ARGUMENT;INPUT;GOOD;RECORDS;SKIPPED;REPORTS" "")
  set(input)
  if(a_INPUT)
    set(input INPUT_FILE ${a_INPUT})
  endif()
  execute_process(COMMAND ${PROGRAM} ${a_ARGUMENT} ${input} TIMEOUT 60
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE reports)
  execute_process(COMMAND ${awk} -f ${here}/activity_totals.awk INPUT_FILE ${a_GOOD}
    OUTPUT_VARIABLE expected COMMAND_ERROR_IS_FATAL ANY)
  if(NOT result STREQUAL 0)
    complain("${name}: it ended with ${result}")
  endif()

  string(FIND "${output}" "\n" begin)  # the heading
  string(FIND "${output}" "\n\n" end)
  math(EXPR length "${end} - ${begin}")
  string(SUBSTRING "${output}" ${begin} ${length} totals)
  if(NOT "${totals}\n" STREQUAL "\n${expected}")
    file(WRITE ${DIR}/totals.txt "${totals}\n")
    file(WRITE ${DIR}/expected.txt "\n${expected}")
    execute_process(COMMAND diff ${DIR}/expected.txt ${DIR}/totals.txt)
    complain("${name}: the totals are not those of awk (<)")
  endif()
  if(NOT output MATCHES "\nrecords: ${a_RECORDS} read, ${a_SKIPPED} of them skipped\n")
    complain("${name}: it did not read ${a_RECORDS} records and skip ${a_SKIPPED}:\n${output}")
  endif()
  math(EXPR good "${a_RECORDS} - ${a_SKIPPED}")
  foreach(endpoint audit recommendations totals)
    if(NOT output MATCHES "\n${endpoint} +${good} accepted = ${good} handled\n")
      complain("${name}: ${endpoint} has not handled ${good}:\n${output}")
    endif()
  endforeach()
  string(REGEX REPLACE "line ([0-9]+), record ([0-9]+): [^\n]*; skipped\n" "\\1:\\2 " places "${reports}")
  string(STRIP "${places}" places)
  if(NOT places STREQUAL "${a_REPORTS}")
    complain("${name}: it reported (line:record)\n  ${places}\nnot\n  ${a_REPORTS}\nin its words\n${reports}")
  endif()
  set(errors ${errors} PARENT_SCOPE)
endfunction()

# --- the file we bring along ---------------------------------------------------------------------
set(array ${here}/data/flights-2k.json)
check("array" ARGUMENT ${array} GOOD ${array} RECORDS 2000 SKIPPED 0)
check("array from stdin" ARGUMENT - INPUT ${array} GOOD ${array} RECORDS 2000 SKIPPED 0)

# --- one object a line, some of them malformed ---------------------------------------------------
file(READ ${array} text)
string(REGEX REPLACE "^\\[(.*)\\][ \n]*$" "\\1" text "${text}")
string(REPLACE "},{" "}\n{" lines "${text}")
string(REPEAT "x" 5000 long)
string(ASCII 255 no_utf8)
set(good [[{"date":"2001/01/01 06:55","delay":1,"distance":2,"origin":"LAX","destination":"BNA"}]])
foreach(change
    [[}|]]                    # cut off
    [[{"|{]]                  # a quotation mark gone
    [[55"|55]]                # another
    [[delay":1|delay":"1"]]   # a text for a number
    [[delay":1|delay":1.5]]
    [[delay":1|delay":1e999]]
    [[delay":1|delay":99999999999999999999]]
    [[delay":1|delay":18446744073709551615]]
    [["delay":1,|]]           # not there
    [["origin":"LAX",|]]
    [[LAX|L\u0007X]]          # no airport
    [[LAX|]]
    [[BNA|null]]
    [[distance":2|distance":-2]]
    [[{|{"a":{]])             # a brace too many
  string(REPLACE "|" ";" change "${change}")
  list(GET change 0 from)
  list(GET change 1 to)
  string(REPLACE "${from}" "${to}" bad "${good}")
  list(APPEND malformed "${bad}")
endforeach()
string(REPLACE "LAX" "L${no_utf8}X" bad "${good}")
list(APPEND malformed "${bad}" "null" "17" "\"}\"" "not JSON" "${long}")

set(mixed "not the first line\n\n  \n${lines}\n")  # 2,003 lines, 2 of them blank
set(reports "1:1")
set(line 2003)
set(record 2001)
foreach(bad IN LISTS malformed)
  string(APPEND mixed "${bad}\r\n${good}\n")
  math(EXPR line "${line} + 1")
  math(EXPR record "${record} + 1")
  string(APPEND reports " ${line}:${record}")
  math(EXPR line "${line} + 1")
  math(EXPR record "${record} + 1")
  string(APPEND lines "\n${good}")
endforeach()
list(LENGTH malformed count)
math(EXPR records "2001 + 2 * ${count}")
math(EXPR skipped "1 + ${count}")
file(WRITE ${DIR}/mixed.ndjson "${mixed}[1]")  # and no newline at the end
file(WRITE ${DIR}/good.ndjson "${lines}\n")
math(EXPR line "${line} + 1")
math(EXPR records "${records} + 1")
math(EXPR skipped "${skipped} + 1")
string(APPEND reports " ${line}:${records}")
check("lines" ARGUMENT ${DIR}/mixed.ndjson GOOD ${DIR}/good.ndjson
  RECORDS ${records} SKIPPED ${skipped} REPORTS "${reports}")
check("lines from stdin" ARGUMENT - INPUT ${DIR}/mixed.ndjson GOOD ${DIR}/good.ndjson
  RECORDS ${records} SKIPPED ${skipped} REPORTS "${reports}")

# --- an array, some of its records malformed -----------------------------------------------------
# All on one line: what is broken takes nobody with it, however it is broken.
string(REPLACE "{\"a\":{" "{\"a\":" pieces "${malformed}")  # in an array one more brace is one more piece
list(LENGTH pieces count)
string(REPLACE ";" ",${good}," pieces "${pieces}")
file(WRITE ${DIR}/mixed.json "[${pieces},${good},\n${good}\n,{\"date\":\"2001\n,${good}\n]\nthe end")
set(lines "")
set(reports "")
foreach(i RANGE 1 ${count})
  math(EXPR record "2 * ${i} - 1")
  string(APPEND reports "1:${record} ")
  string(APPEND lines "${good}\n")
endforeach()
math(EXPR records "2 * ${count} + 4")
math(EXPR skipped "${count} + 2")
math(EXPR third "2 * ${count} + 2")
string(APPEND reports "3:${third} 6:${records}")
file(WRITE ${DIR}/good.json "${lines}${good}${good}")
check("array with malformed records" ARGUMENT ${DIR}/mixed.json GOOD ${DIR}/good.json
  RECORDS ${records} SKIPPED ${skipped} REPORTS "${reports}")

# --- little, nothing, and no file ----------------------------------------------------------------
file(WRITE ${DIR}/empty "")
check("nothing" ARGUMENT - INPUT ${DIR}/empty GOOD ${DIR}/empty RECORDS 0 SKIPPED 0)
file(WRITE ${DIR}/bracket "[")
check("an array cut off" ARGUMENT ${DIR}/bracket GOOD ${DIR}/empty RECORDS 1 SKIPPED 1 REPORTS 1:1)
file(WRITE ${DIR}/one "${good}")
check("one line" ARGUMENT ${DIR}/one GOOD ${DIR}/one RECORDS 1 SKIPPED 0)

execute_process(COMMAND ${PROGRAM} ${DIR}/no-such-file RESULT_VARIABLE result OUTPUT_QUIET
  ERROR_VARIABLE reports)
if(NOT result STREQUAL 2 OR NOT reports MATCHES "cannot read .*no-such-file")
  complain("no file: it ended with ${result}, saying ${reports}")
endif()

if(errors)
  message(FATAL_ERROR "${errors} errors")
endif()
