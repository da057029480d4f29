// Tests that each need a process of their own, because they start, kill or starve what a program has one of: the fork
// server. Without arguments the program runs each of its tests in a fresh copy of itself, but for those that a ~ before
// their name leaves out.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "leasepool/loop.hpp"

namespace alone {

// Makes a test known to the program's main().
struct Name {
  explicit Name(const char* name);
};

// A process of this test's family, living or dead but not waited for.
struct Relative {
  pid_t pid = 0;
  std::string name;
};

// All living processes that came from this one, also those that have lost their parents; not this one.
std::vector<Relative> family();

// Those of them that are fork servers, which they are called as soon as they run.
std::vector<pid_t> fork_servers();

// The one that serves and the one in reserve; throws if there are not two before long.
std::vector<pid_t> both_fork_servers();

// Turns this process into a user that nobody else is and that has no rights, because some limits do not bind root.
// False where that cannot be done; the test then returns and counts as skipped.
[[nodiscard]] bool become_somebody();

// For a test that the machine cannot run, which says so, returns and counts as skipped. Always false.
bool skip(const char* reason);

// Starts a pool of one worker process, which must fail as unsupported with a message of docs/errors.md, and gives that.
std::string message_of_unsupported_start(leasepool::Loop& loop);

// Holds a message against its row below that heading of docs/errors.md, one of those that are brought about here.
// Behind the message may stand the code's own words.
void check_row(const char* heading, std::string_view message);

}  // namespace alone

#define ALONE_JOIN2(a, b) a##b
#define ALONE_JOIN(a, b) ALONE_JOIN2(a, b)

// Names here have no commas and no brackets: they are used as they are to choose the test.
#define ALONE_TEST_CASE(name, tags)                                    \
  static const alone::Name ALONE_JOIN(alone_name_, __COUNTER__){name}; \
  TEST_CASE(name, tags)
