// Tests of LinkedTimeout: what the two completions mean, in both orders, for every outcome that was seen.
#include "loop/linked_timeout.hpp"

#include <cerrno>

#include "catch.hpp"

using leasepool::detail::LinkedTimeout;
using Next = LinkedTimeout::Next;

namespace {

struct Row {
  const char* name;
  int operation;
  int timeout;
  int result;
  bool timed_out;
};
constexpr Row kRows[] = {
    {"the operation ends first", 5, -ECANCELED, 5, false},
    {"the operation fails first", -ECONNRESET, -ECANCELED, -ECONNRESET, false},
    {"the timeout fires", -ECANCELED, -ETIME, -ECANCELED, true},
    {"the timeout fires in the middle of it", 3, -ETIME, 3, true},
    {"a race that the operation wins", 5, -ENOENT, 5, false},
    {"an operation that cannot be cancelled ends by itself", 5, -EALREADY, 5, false},
    {"an operation that is interrupted", -EINTR, -EALREADY, -EINTR, true},
    {"an operation that a late cancel reached", -ECANCELED, -EALREADY, -ECANCELED, true},
    {"the operation is cancelled", -ECANCELED, -ECANCELED, -ECANCELED, false},
    {"the operation is cancelled when its timeout is gone", -ECANCELED, -ENOENT, -ECANCELED, false},
    {"a timeout that ends without a word", 5, 0, 5, false},
};

}  // namespace

TEST_CASE("an operation's result is its own, in whichever order the two completions come", "[linked_timeout]") {
  for (const Row& row : kRows) {
    INFO(row.name);
    for (const bool operation_first : {true, false}) {
      INFO("the operation's completion comes " << (operation_first ? "first" : "second"));
      LinkedTimeout pair;
      pair.begin(true);
      CHECK_FALSE(pair.both_ended());
      if (operation_first) pair.operation_ended(row.operation);
      CHECK_FALSE(pair.both_ended());
      CHECK(pair.timeout_ended(row.timeout) == Next::nothing);
      if (!operation_first) {
        CHECK_FALSE(pair.both_ended());
        pair.operation_ended(row.operation);
      }
      CHECK(pair.both_ended());
      CHECK(pair.result(false) == row.result);
      CHECK(pair.timed_out() == row.timed_out);
    }
  }
}

TEST_CASE("an operation without a timeout ends with its own completion", "[linked_timeout]") {
  LinkedTimeout pair;
  pair.begin(false);
  CHECK_FALSE(pair.has_timeout());
  CHECK_FALSE(pair.both_ended());
  pair.operation_ended(-ECANCELED);
  CHECK(pair.both_ended());
  CHECK(pair.result(false) == -ECANCELED);
  CHECK_FALSE(pair.timed_out());
}

TEST_CASE("an operation that did not run as its timeout was refused says why", "[linked_timeout]") {
  const int refusal = GENERATE(-ENOMEM, -EINVAL);
  LinkedTimeout pair;
  pair.begin(true);
  SECTION("the operation's completion first") {
    pair.operation_ended(-ECANCELED);
    CHECK(pair.timeout_ended(refusal) == Next::nothing);
  }
  SECTION("the operation's completion second") {
    CHECK(pair.timeout_ended(refusal) == Next::start_timeout);
    pair.operation_ended(-ECANCELED);
    CHECK_FALSE(pair.both_ended());
    CHECK(pair.timeout_ended(-ECANCELED) == Next::nothing);  // removed
  }
  CHECK(pair.both_ended());
  CHECK(pair.result(false) == refusal);
  CHECK(pair.result(true) == -ECANCELED);  // whoever cancelled it expects that
  CHECK_FALSE(pair.timed_out());
}

TEST_CASE("a pair that was cut gets a timeout of its own", "[linked_timeout]") {
  LinkedTimeout pair;
  pair.begin(true);
  REQUIRE(pair.timeout_ended(-EINVAL) == Next::start_timeout);
  CHECK(pair.state() == LinkedTimeout::State::alone);
  SECTION("which fires") {
    CHECK(pair.timeout_ended(-ETIME) == Next::cancel_operation);
    CHECK_FALSE(pair.both_ended());
    pair.operation_ended(-ECANCELED);
    CHECK(pair.result(false) == -ECANCELED);
    CHECK(pair.timed_out());
  }
  SECTION("which is removed when the operation has ended") {
    pair.operation_ended(7);
    CHECK_FALSE(pair.both_ended());
    CHECK(pair.timeout_ended(-ECANCELED) == Next::nothing);
    CHECK(pair.result(false) == 7);
    CHECK_FALSE(pair.timed_out());
  }
  SECTION("which was not submitted yet when the operation ended") {
    pair.operation_ended(7);
    pair.timeout_dropped();
    CHECK(pair.result(false) == 7);
  }
  SECTION("which is refused, too: then the operation may not run on") {
    CHECK(pair.timeout_ended(-ENOMEM) == Next::cancel_operation);
    pair.operation_ended(-ECANCELED);
    CHECK(pair.result(false) == -ENOMEM);
    CHECK_FALSE(pair.timed_out());
  }
  CHECK(pair.both_ended());
}
