// The one file that holds Catch2's own code, so that it is compiled once.
#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

#include "run_tests.hpp"

int run_tests(int argc, char** argv) { return Catch::Session().run(argc, argv); }
