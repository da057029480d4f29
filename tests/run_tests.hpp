// Runs every Catch2 test of this program.
#pragma once

int run_tests(int argc, char** argv);
