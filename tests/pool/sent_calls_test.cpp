// The calls that a worker was sent: answered in order, taken back as long as they have not begun.
#include "processes/sent_calls.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "support/collide.hpp"

namespace {

using leasepool::detail::IntrusiveQueue;
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
    job->state.id = id;
    Job& added = *job;
    calls.add(std::move(job), {.function = 1, .size = size, .expected = expected});
    return added;
  }
  // What a worker does with the next call that it receives.
  bool begin(std::uint64_t id) {
    return page->claims[next_to_begin++ % WorkerStatus::kClaims].compare_exchange_strong(id, 0);
  }
};

std::vector<std::uint64_t> ids_of(IntrusiveQueue<Job> jobs) {
  std::vector<std::uint64_t> ids;
  while (!jobs.empty()) ids.push_back(jobs.pop_front()->state.id);
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
  CHECK(sent.calls.answered()->state.id == 1);
  CHECK(sent.calls.is_due(2));
  CHECK(sent.calls.answered()->state.id == 2);
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
  CHECK(sent.calls.recall(2)->state.id == 2);
  CHECK_FALSE(sent.begin(2));
  CHECK(sent.begin(3));
  CHECK(sent.calls.waiting() == 1);
  CHECK(sent.calls.answered()->state.id == 1);
  CHECK(sent.calls.is_due(3));
  CHECK(sent.calls.answered()->state.id == 3);
  CHECK(sent.calls.empty());
}

TEST_CASE("a call that was begun cannot be taken back", "[sent_calls][W2]") {
  Sent sent;
  sent.add(1);
  Job& second = sent.add(2);
  Job& third = sent.add(3);
  CHECK(sent.begin(1));
  CHECK(sent.begin(2));  // and the answer of the first has not been seen yet
  CHECK(sent.calls.recall(2) == nullptr);
  CHECK(sent.calls.has_begun(2));
  CHECK(ids_of(sent.calls.recall_first(3)) == std::vector<std::uint64_t>{3});
  CHECK_FALSE(sent.calls.holds(third));
  CHECK(sent.calls.holds(second));
}

TEST_CASE("a call that went back to the worker that it was taken from has not begun there before it does",
          "[sent_calls][W2]") {
  Sent sent;
  sent.add(1);
  sent.add(2);
  CHECK(sent.begin(1));
  CHECK(sent.calls.recall(2)->state.id == 2);
  Job& again = sent.add(2);
  CHECK_FALSE(sent.calls.has_begun(2));
  CHECK(sent.calls.find(2) == &again);
  CHECK_FALSE(sent.begin(2));  // the place that it had before
  CHECK(sent.begin(2));
  CHECK(sent.calls.has_begun(2));
}

TEST_CASE("a call that could not be sent keeps its place until the worker has passed that, and has not begun",
          "[sent_calls]") {
  Sent sent;
  for (std::uint64_t id = 1; id <= 3 * WorkerStatus::kClaims; ++id) {
    CAPTURE(id);
    Job& refused = sent.add(id);
    CHECK(sent.calls.refuse(id - 1) == &refused);
    CHECK(sent.calls.due_is_refused());
    CHECK_FALSE(sent.calls.empty());
    CHECK(sent.calls.recall(id) == nullptr);  // it is due
    CHECK(sent.begin(id));
    CHECK_FALSE(sent.calls.has_begun(id));
    CHECK(sent.calls.is_due(id));
    CHECK(sent.calls.answered()->state.id == id);
    CHECK(sent.calls.empty());
  }
  sent.add(1000);
  CHECK_FALSE(sent.calls.due_is_refused());
  CHECK(sent.calls.refuse(0) == nullptr);  // long gone
  CHECK_FALSE(sent.calls.due_is_refused());
}

TEST_CASE("a call that could not be sent may be taken back from behind another", "[sent_calls]") {
  Sent sent;
  sent.add(1);
  Job& second = sent.add(2);
  CHECK(sent.begin(1));
  CHECK(sent.calls.refuse(1) == &second);
  CHECK_FALSE(sent.calls.due_is_refused());
  CHECK(sent.calls.recall(2).get() == &second);
  CHECK_FALSE(sent.begin(2));  // and so the worker says nothing of it
  CHECK(sent.calls.answered()->state.id == 1);
  CHECK(sent.calls.empty());
}

TEST_CASE("the first that wait are taken back, in their order", "[sent_calls]") {
  Sent sent;
  for (std::uint64_t id = 1; id <= 5; ++id) sent.add(id);
  CHECK(sent.begin(1));
  CHECK(ids_of(sent.calls.recall_first(2)) == std::vector<std::uint64_t>{2, 3});
  CHECK(ids_of(sent.calls.recall_first(9)) == std::vector<std::uint64_t>{4, 5});
  CHECK(sent.calls.recall_first(1).empty());
  CHECK(sent.calls.waiting() == 0);
  for (std::uint64_t id = 2; id <= 5; ++id) CHECK_FALSE(sent.begin(id));
  sent.add(6);
  CHECK(sent.begin(6));
  CHECK(sent.calls.answered()->state.id == 1);
  CHECK(sent.calls.answered()->state.id == 6);
}

TEST_CASE("a call whose answer nobody wants is still answered in its turn", "[sent_calls][E6]") {
  Sent sent;
  Job& first = sent.add(1);
  sent.add(2);
  CHECK(sent.calls.forget(first)->state.id == 1);
  CHECK(sent.calls.running() == nullptr);
  CHECK(sent.calls.wanted());
  CHECK_FALSE(sent.calls.empty());
  CHECK(sent.calls.is_due(1));
  CHECK_FALSE(sent.calls.is_due(2));
  CHECK(sent.calls.answered() == nullptr);
  CHECK(sent.calls.running()->state.id == 2);
  CHECK(ids_of(sent.calls.forget_all()) == std::vector<std::uint64_t>{2});
  CHECK_FALSE(sent.calls.wanted());
  CHECK_FALSE(sent.calls.empty());
}

TEST_CASE("there is room ahead for so many calls and so many bytes, and always for one on an idle worker",
          "[sent_calls]") {
  Sent sent;
  for (std::uint64_t id = 1; id <= SentCalls::kMaxPrefetch; ++id) {
    CHECK(sent.calls.has_credit());
    sent.add(id);
  }
  CHECK_FALSE(sent.calls.has_credit());
  CHECK(sent.begin(1));
  CHECK(sent.calls.recall_first(SentCalls::kMaxPrefetch).size() == SentCalls::kMaxPrefetch - 1);
  CHECK(sent.calls.answered()->state.id == 1);
  CHECK(sent.calls.empty());
  // The worker has still to pass over all of the others.
  sent.add(1000);
  CHECK_FALSE(sent.calls.has_credit());
  for (std::uint64_t id = 2; id <= SentCalls::kMaxPrefetch; ++id) CHECK_FALSE(sent.begin(id));
  CHECK(sent.begin(1000));
  CHECK(sent.calls.answered()->state.id == 1000);
  CHECK(sent.calls.has_credit());

  Sent large;
  large.add(1, SentCalls::kMaxBytesAhead);
  CHECK_FALSE(large.calls.has_credit());
  (void)large.calls.answered();
  CHECK(large.calls.has_credit());
}

TEST_CASE("a call that its worker begins while it is taken back is had by one of them", "[sent_calls]") {
  Sent sent;
  std::uint64_t id = 1;
  sent.add(id);
  REQUIRE(sent.begin(id));
  sent.add(++id);
  bool begins = false;
  std::unique_ptr<Job> taken_back;
  int wrong = 0;
  leasepool::test::collide([&] { begins = sent.begin(id); }, [&] { taken_back = sent.calls.recall(id); },
                           [&] {
                             wrong += begins == (taken_back != nullptr) ? 1 : 0;
                             wrong += begins && !sent.calls.has_begun(id) ? 1 : 0;
                             (void)sent.calls.answered();
                             if (taken_back == nullptr) (void)sent.calls.answered();
                             taken_back.reset();
                             sent.add(++id);
                             wrong += sent.begin(id) ? 0 : 1;
                             sent.add(++id);
                             return wrong == 0;
                           });
  CHECK(wrong == 0);
}
