// The calls that a worker was sent: answered in order, taken back as long as they have not begun.
#include "pool/sent_calls.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"

namespace {

using leasepool::detail::Job;
using leasepool::detail::SentCalls;
using leasepool::detail::StatusPage;
using leasepool::detail::WorkerStatus;

struct Sent {
  StatusPage page = StatusPage::create(false).first;
  SentCalls calls{page.operator->()};
  std::uint64_t next_to_begin = 0;

  Job& add(std::uint64_t id, std::size_t size = 100, leasepool::Duration expected = {}) {
    std::shared_ptr<leasepool::test::Call<std::int64_t>> call;
    auto job = leasepool::test::make_test_job(call, pool_functions::add, 1, 2);
    job->booking.id = id;
    Job& added = *job;
    calls.add(std::move(job), {.function = 1, .size = size, .expected = expected});
    return added;
  }
  // What a worker does with the next call that it receives.
  bool begin(std::uint64_t id) {
    return page->claims[next_to_begin++ % WorkerStatus::kClaims].compare_exchange_strong(id, 0);
  }
};

std::vector<std::uint64_t> ids_of(const std::vector<std::unique_ptr<Job>>& jobs) {
  std::vector<std::uint64_t> ids;
  ids.reserve(jobs.size());
  for (const auto& job : jobs) ids.push_back(job->booking.id);
  return ids;
}

}  // namespace

TEST_CASE("so many more calls would be done soon as fit into the same time", "[sent_calls]") {
  Sent sent;
  sent.add(1, 100, std::chrono::microseconds(3));
  sent.add(2, 100, std::chrono::microseconds(1));
  CHECK(sent.calls.is_short_with(0));
  CHECK(sent.calls.is_short_with(7));  // 18 us
  CHECK_FALSE(sent.calls.is_short_with(8));
  sent.add(3, 100, std::chrono::microseconds(16));
  CHECK_FALSE(sent.calls.is_short_with(0));
}

TEST_CASE("calls are answered in the order in which they were sent", "[sent_calls]") {
  Sent sent;
  CHECK(sent.calls.empty());
  CHECK(sent.calls.running() == nullptr);
  CHECK_FALSE(sent.calls.is_due(1));
  Job& first = sent.add(1);
  sent.add(2);
  CHECK(sent.calls.running() == &first);
  CHECK(sent.calls.waiting() == 1);
  CHECK(sent.calls.is_due(1));
  CHECK_FALSE(sent.calls.is_due(2));
  CHECK(sent.calls.answered()->booking.id == 1);
  CHECK(sent.calls.is_due(2));
  CHECK(sent.calls.answered()->booking.id == 2);
  CHECK(sent.calls.empty());
}

TEST_CASE("a call that was not begun can be taken back, and the worker then passes over it", "[sent_calls][W2]") {
  Sent sent;
  sent.add(1);
  sent.add(2);
  sent.add(3);
  CHECK(sent.begin(1));
  CHECK(sent.calls.has_begun(1));
  CHECK_FALSE(sent.calls.has_begun(2));
  CHECK(sent.calls.take_back(2)->booking.id == 2);
  CHECK_FALSE(sent.begin(2));
  CHECK(sent.begin(3));
  CHECK(sent.calls.waiting() == 1);
  CHECK(sent.calls.answered()->booking.id == 1);
  CHECK(sent.calls.is_due(3));
  CHECK(sent.calls.answered()->booking.id == 3);
  CHECK(sent.calls.empty());
}

TEST_CASE("a call that was begun cannot be taken back", "[sent_calls][W2]") {
  Sent sent;
  sent.add(1);
  Job& second = sent.add(2);
  Job& third = sent.add(3);
  CHECK(sent.begin(1));
  CHECK(sent.begin(2));  // and the answer of the first has not been seen yet
  CHECK(sent.calls.take_back(2) == nullptr);
  CHECK(sent.calls.has_begun(2));
  CHECK(ids_of(sent.calls.take_back_first(3)) == std::vector<std::uint64_t>{3});
  CHECK_FALSE(sent.calls.holds(third));
  CHECK(sent.calls.holds(second));
}

TEST_CASE("the first that wait are taken back, in their order", "[sent_calls]") {
  Sent sent;
  for (std::uint64_t id = 1; id <= 5; ++id) sent.add(id);
  CHECK(sent.begin(1));
  CHECK(ids_of(sent.calls.take_back_first(2)) == std::vector<std::uint64_t>{2, 3});
  CHECK(ids_of(sent.calls.take_back_first(9)) == std::vector<std::uint64_t>{4, 5});
  CHECK(sent.calls.take_back_first(1).empty());
  CHECK(sent.calls.waiting() == 0);
  for (std::uint64_t id = 2; id <= 5; ++id) CHECK_FALSE(sent.begin(id));
  sent.add(6);
  CHECK(sent.begin(6));
  CHECK(sent.calls.answered()->booking.id == 1);
  CHECK(sent.calls.answered()->booking.id == 6);
}

TEST_CASE("a call whose answer nobody wants is still answered in its turn", "[sent_calls][E6]") {
  Sent sent;
  Job& first = sent.add(1);
  sent.add(2);
  CHECK(sent.calls.forget(first)->booking.id == 1);
  CHECK(sent.calls.running() == nullptr);
  CHECK(sent.calls.wanted());
  CHECK_FALSE(sent.calls.empty());
  CHECK(sent.calls.is_due(1));
  CHECK_FALSE(sent.calls.is_due(2));
  CHECK(sent.calls.answered() == nullptr);
  CHECK(sent.calls.running()->booking.id == 2);
  CHECK(ids_of(sent.calls.forget_all()) == std::vector<std::uint64_t>{2});
  CHECK_FALSE(sent.calls.wanted());
  CHECK_FALSE(sent.calls.empty());
}

TEST_CASE("there is room ahead for so many calls and so many bytes, and always for one on an idle worker",
          "[sent_calls]") {
  Sent sent;
  for (std::uint64_t id = 1; id <= SentCalls::kMostAhead; ++id) {
    CHECK(sent.calls.room_ahead());
    sent.add(id);
  }
  CHECK_FALSE(sent.calls.room_ahead());
  CHECK(sent.begin(1));
  CHECK(sent.calls.take_back_first(100).size() == SentCalls::kMostAhead - 1);
  CHECK(sent.calls.answered()->booking.id == 1);
  CHECK(sent.calls.empty());
  // The worker has still to pass over all of the others.
  sent.add(1000);
  CHECK_FALSE(sent.calls.room_ahead());
  for (std::uint64_t id = 2; id <= SentCalls::kMostAhead; ++id) CHECK_FALSE(sent.begin(id));
  CHECK(sent.begin(1000));
  CHECK(sent.calls.answered()->booking.id == 1000);
  CHECK(sent.calls.room_ahead());

  Sent large;
  large.add(1, SentCalls::kMostBytesAhead);
  CHECK_FALSE(large.calls.room_ahead());
  (void)large.calls.answered();
  CHECK(large.calls.room_ahead());
}
