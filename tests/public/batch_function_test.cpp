// Functions that are called once a batch.
#include <algorithm>
#include <csignal>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "grinder_support.hpp"

namespace {

std::vector<std::uint64_t> squares(const std::vector<std::uint64_t>& numbers) {
  ++shared().entered;
  std::vector<std::uint64_t> results;
  for (const std::uint64_t number : numbers) results.push_back(number * number);
  return results;
}
std::vector<int> one_too_few(std::vector<int> numbers) {
  numbers.pop_back();
  return numbers;
}
std::vector<int> not_thirteen(std::vector<int> numbers) {
  ++shared().entered;
  for (const int number : numbers) {
    if (number == 13) throw std::domain_error("thirteen");
  }
  return numbers;
}
std::vector<int> die_of_thirteen(const std::vector<int>& numbers) {
  ++shared().entered;
  for (const int number : numbers) {
    if (number == 13) ::raise(SIGSEGV);
  }
  return numbers;
}
// A thirteen among them makes the results one too few, or one too many.
std::vector<int> few_for_thirteen(std::vector<int> numbers) {
  if (std::ranges::find(numbers, 13) != numbers.end()) numbers.pop_back();
  return numbers;
}
std::vector<int> many_for_thirteen(std::vector<int> numbers) {
  if (std::ranges::find(numbers, 13) != numbers.end()) numbers.push_back(0);
  return numbers;
}
std::vector<int> hang_at_thirteen(std::vector<int> numbers) {
  ++shared().entered;
  if (std::ranges::find(numbers, 13) != numbers.end()) pass_gate(0);
  return numbers;
}
std::vector<std::string> shout(std::vector<std::string> words) {
  for (std::string& word : words) word += "!";
  return words;
}
std::vector<int> by_span(std::span<const int> numbers) { return {numbers.begin(), numbers.end()}; }

LEASEPOOL_REGISTER(squares);
LEASEPOOL_REGISTER(one_too_few);
LEASEPOOL_REGISTER(not_thirteen);
LEASEPOOL_REGISTER(die_of_thirteen);
LEASEPOOL_REGISTER(few_for_thirteen);
LEASEPOOL_REGISTER(many_for_thirteen);
LEASEPOOL_REGISTER(hang_at_thirteen);
LEASEPOOL_REGISTER(shout);

}  // namespace

TEST_CASE("a batch function is called once a batch, and each submitter has its own result", "[G2]") {
  on_grinder(both_backends(), {.batch_size_threshold = 8, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    const auto grind = bench.grinder.batch(squares);
    std::vector<std::uint64_t> results(5);
    std::size_t answers = 0;
    for (std::size_t i = 0; i < 5; ++i) {
      grind.submit_async(i, [&, i](lp::Result<std::uint64_t> result) {
        results[i] = result.value();
        ++answers;
      });
    }
    auto pending = grind.enqueue(20);                       // converted to the element's type
    auto other = bench.grinder.batch(shout).enqueue("no");  // its own call in the same batch
    auto single = bench.grinder.enqueue(square, 9);
    const std::uint64_t four_hundred = co_await pending;
    CHECK(four_hundred == 400);
    const std::string word = co_await other;
    CHECK(word == "no!");
    const std::uint64_t eighty_one = co_await single;
    CHECK(eighty_one == 81);
    co_await until(bench.loop, [&] { return answers == 5; });
    CHECK(results == std::vector<std::uint64_t>{0, 1, 4, 9, 16});
    CHECK(shared().entered == 1);
    CHECK(bench.grinder.stats().batches_flushed == 1);
    CHECK(bench.grinder.stats().items_completed == 8);
  });
}

TEST_CASE("on threads a batch function may be any callable, take a span, and give what can only be moved", "[G2]") {
  on_grinder(ExecutorBackend::thread, {.batch_size_threshold = 3, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    const auto spans = bench.grinder.batch(by_span);
    const auto moves = bench.grinder.batch([](std::vector<std::unique_ptr<int>> boxes) { return boxes; });
    const auto changes = bench.grinder.batch([](std::span<int> numbers) {
      std::vector<bool> odd;
      for (const int number : numbers) odd.push_back(number % 2 != 0);
      return odd;
    });
    auto a = spans.enqueue(4);
    auto b = moves.enqueue(std::make_unique<int>(5));
    auto c = changes.enqueue(7);
    const int four = co_await a;
    const std::unique_ptr<int> five = co_await b;
    const bool odd = co_await c;
    CHECK(four == 4);
    CHECK(*five == 5);
    CHECK(odd);
    CHECK_THROWS_WITH(
        bench.grinder.batch([](std::vector<std::unique_ptr<int>> boxes) { return boxes; }, {.isolate_failures = true}),
        ContainsSubstring("isolate_failures") && ContainsSubstring("cannot be copied"));
  });
}

TEST_CASE("a span cannot go to another process, and the error says what can", "[G8]") {
  on_grinder(ExecutorBackend::process, {.batch_size_threshold = 2, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    const auto spans = bench.grinder.batch(by_span);
    auto item = spans.enqueue(1);
    auto fine = bench.grinder.enqueue(square, 2);
    const std::string message = co_await message_of(std::move(item));
    CHECK_THAT(message, ContainsSubstring("by_span") && ContainsSubstring("std::vector"));
    const std::uint64_t four = co_await fine;
    CHECK(four == 4);
  });
}

TEST_CASE("a batch function that returns the wrong number of results, or throws, fails its items", "[G3]") {
  on_grinder(both_backends(), {.batch_size_threshold = 5, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    Answers few;
    const auto short_one = bench.grinder.batch(one_too_few);
    const auto unlucky = bench.grinder.batch(not_thirteen);
    for (int i = 0; i < 2; ++i) short_one.submit_async(i, few.taker<int>());
    auto first = unlucky.enqueue(12);
    auto second = unlucky.enqueue(13);
    auto apart = bench.grinder.enqueue(square, 3);
    std::string thrown;
    try {
      co_await first;
    } catch (const std::domain_error& error) {
      thrown = error.what();
    }
    CHECK(thrown == "thirteen");
    CHECK_THROWS_AS(co_await second, std::domain_error);
    const std::uint64_t nine = co_await apart;
    CHECK(nine == 9);
    co_await until(bench.loop, [&] { return few.count == 2; });
    CHECK(few.codes == std::vector<Errc>(2, Errc::bad_payload));
    CHECK_THAT(few.messages.at(0), ContainsSubstring("one_too_few returned 1 results for 2 items"));
  });
}

TEST_CASE("with isolate_failures only the culprit fails", "[G3]") {
  on_grinder(both_backends(), {.batch_size_threshold = 8, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    const auto unlucky = bench.grinder.batch(not_thirteen, {.isolate_failures = true});
    Answers answers;
    std::vector<int> results;
    for (int i = 8; i < 16; ++i) {
      unlucky.submit_async(i, [&](lp::Result<int> result) {
        answers.add(result);
        if (result) results.push_back(*result);
      });
    }
    co_await until(bench.loop, [&] { return answers.count == 8; });
    CHECK(answers.failed == 1);
    CHECK(answers.messages == std::vector<std::string>{"thirteen"});
    std::sort(results.begin(), results.end());
    CHECK(results == std::vector<int>{8, 9, 10, 11, 12, 14, 15});
    CHECK(bench.grinder.stats().batches_split == 3);
    CHECK(shared().entered == 7);  // 8; 4 and 4; 2 and 2; 1 and 1
    CHECK(bench.manager.stats().acquired == 1);
    CHECK(bench.manager.leased_count() == 0);
  });
}

TEST_CASE("isolate_failures finds the item that kills the worker, too", "[G3]") {
  on_grinder(ExecutorBackend::process, {.batch_size_threshold = 4, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    const auto deadly = bench.grinder.batch(die_of_thirteen, {.isolate_failures = true});
    Answers answers;
    for (int i = 11; i < 15; ++i) deadly.submit_async(i, answers.taker<int>());
    co_await until(bench.loop, [&] { return answers.count == 4; });
    CHECK(answers.codes == std::vector<Errc>{Errc::worker_crashed});
  });
}

TEST_CASE("isolate_failures finds the item for which the results are too few or too many", "[G3]") {
  on_grinder(both_backends(), {.batch_size_threshold = 4, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    for (const auto function : {few_for_thirteen, many_for_thirteen}) {
      const auto unlucky = bench.grinder.batch(function, {.isolate_failures = true});
      Answers answers;
      for (int i = 11; i < 15; ++i) unlucky.submit_async(i, answers.taker<int>());
      co_await until(bench.loop, [&] { return answers.count == 4; });
      CHECK(answers.codes == std::vector<Errc>{Errc::bad_payload});
      CHECK_THAT(answers.messages.at(0),
                 ContainsSubstring("for_thirteen returned ") && ContainsSubstring("for 1 items"));
    }
    CHECK(bench.grinder.stats().batches_split == 4);
  });
}

TEST_CASE("isolate_failures finds the item that is too large to be sent", "[G3]") {
  on_grinder(ExecutorBackend::process, {.batch_size_threshold = 4, .max_wait = 1h},
             [](Bench& bench) -> lp::Task<> {
               const auto loud = bench.grinder.batch(shout, {.isolate_failures = true});
               Answers answers;
               std::vector<std::string> words;
               for (const std::size_t size : {900U, 5000U, 3U, 900U}) {
                 loud.submit_async(std::string(size, 'x'), [&](lp::Result<std::string> result) {
                   answers.add(result);
                   if (result) words.push_back(*std::move(result));
                 });
               }
               co_await until(bench.loop, [&] { return answers.count == 4; });
               CHECK(answers.codes == std::vector<Errc>{Errc::payload_too_large});
               CHECK(std::ranges::find(words, "xxx!") != words.end());
               CHECK(words.size() == 3);
             },
             {.max_payload = 2000});
}

TEST_CASE("isolate_failures finds the item that hangs, on processes; on threads a hanging call is not repeated",
          "[G3]") {
  on_grinder(both_backends(), {.batch_size_threshold = 4, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    const auto slow = bench.grinder.batch(hang_at_thirteen, {.isolate_failures = true}).with({.timeout = 250ms});
    Answers answers;
    for (int i = 11; i < 15; ++i) slow.submit_async(i, answers.taker<int>());
    co_await until(bench.loop, [&] { return answers.count == 4; });
    const bool processes = bench.manager.backend() == ExecutorBackend::process;
    CHECK(answers.codes == std::vector<Errc>(processes ? 1 : 4, Errc::timed_out));
    CHECK(bench.grinder.stats().batches_split == (processes ? 2 : 0));
  });
}

TEST_CASE("each call of a batch function has a copy of the callable, whether it takes a vector or a span", "[G2]") {
  on_grinder(ExecutorBackend::thread, {.batch_size_threshold = 2, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    const auto vectors = bench.grinder.batch([calls = 0](std::vector<int> numbers) mutable {
      ++calls;
      return std::vector<int>(numbers.size(), calls);
    });
    const auto spans = bench.grinder.batch([calls = 0](std::span<int> numbers) mutable {
      ++calls;
      return std::vector<int>(numbers.size(), calls);
    });
    for (int i = 0; i < 3; ++i) {
      auto by_vector = vectors.enqueue(0);
      auto by_span = spans.enqueue(0);
      const int first = co_await by_vector;
      CHECK(first == 1);
      const int second = co_await by_span;
      CHECK(second == 1);
    }
  });
}

TEST_CASE("a batch function's items share the call: none of them can be cancelled alone once it is sent", "[G5]") {
  on_grinder(ExecutorBackend::thread, {.batch_size_threshold = 2, .max_wait = 1h}, [](Bench& bench) -> lp::Task<> {
    const auto gated = bench.grinder.batch([](std::vector<int> numbers) {
      pass_gate(0);
      return numbers;
    });
    auto first = gated.enqueue(1);
    auto second = gated.enqueue(2);
    co_await until_entered(bench.loop, 1);
    first.cancel();
    open_gate();
    const int one = co_await first;
    const int two = co_await second;
    CHECK(one == 1);
    CHECK(two == 2);
  });
}
