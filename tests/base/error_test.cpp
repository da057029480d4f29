// Tests of Errc, Error and LeasePoolError.
#include "leasepool/error.hpp"

#include <set>
#include <stdexcept>
#include <string>

#include "catch.hpp"

using leasepool::Errc;
using leasepool::Error;
using leasepool::LeasePoolError;

TEST_CASE("every code has a text of its own in the category leasepool", "[error]") {
  std::set<std::string> texts;
  constexpr int kLast = static_cast<int>(Errc::node_lost);
  for (int code = 1; code <= kLast; ++code) {
    const std::error_code made = static_cast<Errc>(code);
    CHECK(std::string(made.category().name()) == "leasepool");
    CHECK(made.value() == code);
    CHECK_THAT(made.message(), !ContainsSubstring("unknown"));
    texts.insert(made.message());
  }
  CHECK(texts.size() == kLast);
  CHECK_THAT(leasepool::error_category().message(kLast + 1), ContainsSubstring("unknown"));
}

TEST_CASE("a failure of the library raises LeasePoolError with its code and message", "[error]") {
  const Error error(Errc::queue_full, "no room for a 17th call");
  CHECK(error.code() == Errc::queue_full);
  CHECK(error.message() == "no room for a 17th call");
  try {
    error.raise();
  } catch (const LeasePoolError& thrown) {
    CHECK(thrown.code() == Errc::queue_full);
    CHECK_THAT(thrown.what(), ContainsSubstring("no room for a 17th call"));
  }
  CHECK_THROWS_AS(std::rethrow_exception(error.exception()), LeasePoolError);
}

TEST_CASE("an error keeps whether its call may have run, through new words and as an exception", "[error]") {
  using leasepool::detail::Access;
  CHECK_FALSE(Error(Errc::queue_full, "full").may_have_run());
  const Error unknown(Errc::timed_out, "late");
  CHECK(unknown.may_have_run());
  const Error not_run = Access::with_message(Access::not_run(unknown), "late in the queue");
  CHECK_FALSE(not_run.may_have_run());
  CHECK(not_run.code() == Errc::timed_out);
  CHECK(unknown.may_have_run());
  try {
    not_run.raise();
  } catch (const LeasePoolError& thrown) {
    CHECK_FALSE(thrown.may_have_run());
  }
  CHECK_FALSE(Error::without_message(Errc::not_started).may_have_run());
  CHECK(Error::without_message(Errc::worker_crashed).may_have_run());
}

TEST_CASE("a function's exception is raised as it was thrown, the same object", "[error]") {
  const auto thrown = std::make_exception_ptr(std::out_of_range("index 7"));
  const Error error(thrown, "std::out_of_range: index 7");
  CHECK(error.code() == Errc::remote_exception);
  CHECK(error.exception() == thrown);
  try {
    error.raise();
  } catch (const std::out_of_range&) {
    CHECK(std::current_exception() == thrown);
  }
}
