// Tests of IntrusiveMailbox: many threads push, one takes, and after close() nothing gets in.
#include <atomic>
#include <cstddef>
#include <latch>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/intrusive_queue.hpp"
#include "catch.hpp"

using leasepool::detail::IntrusiveMailbox;
using leasepool::detail::IntrusiveQueue;

namespace {

struct Letter {
  Letter(int from, int number) : sender(from), sequence(number) { ++alive(); }
  Letter(const Letter&) = delete;
  Letter& operator=(const Letter&) = delete;
  ~Letter() { --alive(); }

  static std::atomic<int>& alive() {
    static std::atomic<int> count = 0;
    return count;
  }

  int sender;
  int sequence;
  Letter* next = nullptr;
  Letter* previous = nullptr;
};

using Mailbox = IntrusiveMailbox<Letter>;

bool push(Mailbox& mailbox, int sender, int sequence) {
  return mailbox.push(std::make_unique<Letter>(sender, sequence)) == nullptr;
}

std::vector<int> sequences(IntrusiveQueue<Letter> letters) {
  std::vector<int> numbers;
  while (!letters.empty()) numbers.push_back(letters.pop_front()->sequence);
  return numbers;
}

}  // namespace

TEST_CASE("a mailbox is taken whole, oldest first", "[mailbox]") {
  Mailbox mailbox;
  CHECK(mailbox.empty());
  CHECK(sequences(mailbox.take_all()).empty());
  for (const int sequence : {1, 2, 3}) REQUIRE(push(mailbox, 0, sequence));
  CHECK_FALSE(mailbox.empty());
  CHECK(sequences(mailbox.take_all()) == std::vector<int>{1, 2, 3});
  CHECK(mailbox.empty());
  REQUIRE(push(mailbox, 0, 4));
  CHECK(sequences(mailbox.take_all()) == std::vector<int>{4});
}

TEST_CASE("a closed mailbox gives what is left once, then gives pushed letters back", "[mailbox]") {
  Mailbox mailbox;
  REQUIRE(push(mailbox, 0, 1));
  REQUIRE(push(mailbox, 0, 2));
  CHECK(sequences(mailbox.close()) == std::vector<int>{1, 2});

  auto letter = std::make_unique<Letter>(0, 3);
  Letter* const address = letter.get();
  const std::unique_ptr<Letter> back = mailbox.push(std::move(letter));
  CHECK(back.get() == address);
  CHECK(mailbox.empty());
  CHECK(sequences(mailbox.take_all()).empty());
  CHECK(sequences(mailbox.close()).empty());
  CHECK(mailbox.push(std::make_unique<Letter>(0, 4)) != nullptr);
}

TEST_CASE("a mailbox destroys the letters nobody took", "[mailbox]") {
  {
    Mailbox mailbox;
    for (int i = 0; i < 5; ++i) REQUIRE(push(mailbox, 0, i));
    CHECK(Letter::alive() == 5);
  }
  CHECK(Letter::alive() == 0);
}

TEST_CASE("eight threads push 400,000 letters of which none is lost, doubled or out of its sender's order",
          "[mailbox]") {
  constexpr int kSenders = 8;
  constexpr int kEach = 50'000;
  Mailbox mailbox;
  std::latch start(kSenders + 1);
  std::vector<std::jthread> senders;
  for (int sender = 0; sender < kSenders; ++sender) {
    senders.emplace_back([&mailbox, &start, sender] {
      start.arrive_and_wait();
      for (int sequence = 0; sequence < kEach; ++sequence) (void)push(mailbox, sender, sequence);
    });
  }
  start.arrive_and_wait();
  std::vector<int> next(kSenders, 0);
  bool in_order = true;
  for (int received = 0; received < kSenders * kEach;) {
    for (auto letters = mailbox.take_all(); !letters.empty(); ++received) {
      const std::unique_ptr<Letter> letter = letters.pop_front();
      in_order = in_order && letter->sequence == next[static_cast<std::size_t>(letter->sender)]++;
    }
  }
  senders.clear();
  CHECK(in_order);
  CHECK(next == std::vector<int>(kSenders, kEach));
  CHECK(mailbox.empty());
  CHECK(Letter::alive() == 0);
}

TEST_CASE("a letter pushed while the mailbox closes is either among what is left or given back", "[mailbox]") {
  constexpr int kRounds = 200;
  constexpr int kSenders = 3;
  for (int round = 0; round < kRounds; ++round) {
    Mailbox mailbox;
    std::latch start(kSenders + 1);
    std::atomic<int> refused = 0;
    std::vector<std::jthread> senders;
    for (int sender = 0; sender < kSenders; ++sender) {
      senders.emplace_back([&, sender] {
        start.arrive_and_wait();
        for (int sequence = 0; sequence < 100; ++sequence) {
          if (!push(mailbox, sender, sequence)) ++refused;
        }
      });
    }
    start.arrive_and_wait();
    std::size_t kept = sequences(mailbox.take_all()).size();
    kept += sequences(mailbox.close()).size();
    senders.clear();
    REQUIRE(kept + static_cast<std::size_t>(refused.load()) == kSenders * 100);
    REQUIRE(mailbox.empty());
  }
  CHECK(Letter::alive() == 0);
}
