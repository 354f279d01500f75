# Plants one bug of a table in a copy of the headers: its test program must then fail.
#   cmake -DCOMPILE_WITH=<file> -DINCLUDE=<dir> -DTABLE=<planted.cmake> -DNAME=<bug> -DDIR=<scratch>
#         -P cmake/check_planted.cmake
cmake_minimum_required(VERSION 3.25)
include(${COMPILE_WITH})
include(${TABLE})
get_filename_component(tests ${TABLE} DIRECTORY)
set(FILE ${tests}/${${NAME}_program}.cpp)
set(SANITIZE ${${NAME}_sanitize})
include(${CMAKE_CURRENT_LIST_DIR}/mutant.cmake)
plant(${NAME} ${INCLUDE} ${mutated})
program_passes(unnoticed)
if(unnoticed)
  message(FATAL_ERROR "${${NAME}_program} does not notice: ${${NAME}_about}")
endif()
file(READ ${DIR}/said.txt said)
message(STATUS "${${NAME}_program} notices: ${${NAME}_about}\n${said}")
