# Runs COMMAND (a list); it must end with 0 and, if the file EXPECTED exists, print exactly its text.
# What it prints is left in OUTPUT.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND ${COMMAND} RESULT_VARIABLE result OUTPUT_VARIABLE output)
file(WRITE ${OUTPUT} "${output}")
if(NOT result EQUAL 0)
  message(FATAL_ERROR "it ended with ${result}, after printing\n${output}")
endif()
if(NOT EXISTS ${EXPECTED})
  message(NOTICE "${output}")
  return()
endif()
file(READ ${EXPECTED} expected)
if(NOT output STREQUAL expected)
  execute_process(COMMAND diff -u ${EXPECTED} ${OUTPUT})  # where there is no diff: only the words
  message(FATAL_ERROR "it printed ${OUTPUT}, which is not what ${EXPECTED} says")
endif()
