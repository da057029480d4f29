// Tests of IntrusiveQueue: its order, taking out of any place, and that it owns what it holds.
#include "base/intrusive_queue.hpp"

#include <cstddef>
#include <deque>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "catch.hpp"

using leasepool::detail::IntrusiveQueue;

namespace {

struct Element {
  explicit Element(int number, int* alive = nullptr) : value(number), alive_count(alive) {
    if (alive_count != nullptr) ++*alive_count;
  }
  Element(const Element&) = delete;
  Element& operator=(const Element&) = delete;
  ~Element() {
    if (alive_count != nullptr) --*alive_count;
  }

  int value;
  int* alive_count;
  Element* next = nullptr;
  Element* previous = nullptr;
};

using Queue = IntrusiveQueue<Element>;

// Adds an element and gives its address, which stays valid while the queue holds it.
Element& push_back(Queue& queue, int value, int* alive = nullptr) {
  auto element = std::make_unique<Element>(value, alive);
  Element& added = *element;
  queue.push_back(std::move(element));
  return added;
}

std::vector<int> drain(Queue& queue) {
  std::vector<int> values;
  while (!queue.empty()) values.push_back(queue.pop_front()->value);
  return values;
}

Queue queue_of(const std::vector<int>& values) {
  Queue queue;
  for (const int value : values) push_back(queue, value);
  return queue;
}

}  // namespace

TEST_CASE("a queue gives its elements in the order in which they came", "[queue]") {
  Queue queue = queue_of({1, 2, 3, 4});
  CHECK(queue.size() == 4);
  CHECK(drain(queue) == std::vector<int>{1, 2, 3, 4});
  CHECK(queue.empty());
  CHECK(queue.size() == 0);
}

TEST_CASE("an element pushed to the front of a queue comes first", "[queue]") {
  Queue queue;
  queue.push_front(std::make_unique<Element>(2));
  queue.push_front(std::make_unique<Element>(1));
  push_back(queue, 3);
  CHECK(queue.size() == 3);
  CHECK(drain(queue) == std::vector<int>{1, 2, 3});
}

TEST_CASE("an element is taken out of any place of a queue", "[queue]") {
  Queue queue;
  Element& first = push_back(queue, 1);
  Element& middle = push_back(queue, 2);
  push_back(queue, 3);
  Element& last = push_back(queue, 4);

  SECTION("the first") {
    CHECK(queue.remove(first)->value == 1);
    CHECK(drain(queue) == std::vector<int>{2, 3, 4});
  }
  SECTION("one in the middle") {
    CHECK(queue.remove(middle)->value == 2);
    CHECK(drain(queue) == std::vector<int>{1, 3, 4});
  }
  SECTION("the last, after which more can be added") {
    CHECK(queue.remove(last)->value == 4);
    push_back(queue, 5);
    CHECK(drain(queue) == std::vector<int>{1, 2, 3, 5});
  }
}

TEST_CASE("a queue whose only element was taken out is empty and can be used again", "[queue]") {
  Queue queue;
  Element& only = push_back(queue, 1);
  const std::unique_ptr<Element> taken = queue.remove(only);
  CHECK(queue.empty());
  CHECK(taken->next == nullptr);
  CHECK(taken->previous == nullptr);
  push_back(queue, 2);
  queue.push_front(std::make_unique<Element>(1));
  CHECK(drain(queue) == std::vector<int>{1, 2});
}

TEST_CASE("a queue destroys what it holds", "[queue]") {
  int alive = 0;
  {
    Queue queue;
    for (int i = 0; i < 3; ++i) push_back(queue, i, &alive);
    const std::unique_ptr<Element> taken = queue.pop_front();
    CHECK(alive == 3);
    queue.clear();
    CHECK(alive == 1);
    CHECK(queue.empty());
    push_back(queue, 4, &alive);
  }
  CHECK(alive == 0);
}

TEST_CASE("a moved queue takes its elements along", "[queue]") {
  int alive = 0;
  Queue from;
  push_back(from, 1, &alive);
  push_back(from, 2, &alive);

  SECTION("by construction") {
    Queue to(std::move(from));
    CHECK(to.size() == 2);
    push_back(to, 3, &alive);
    CHECK(drain(to) == std::vector<int>{1, 2, 3});
  }
  SECTION("by assignment, which destroys what was there") {
    Queue to;
    push_back(to, 9, &alive);
    to = std::move(from);
    CHECK(alive == 2);
    push_back(to, 3, &alive);
    CHECK(drain(to) == std::vector<int>{1, 2, 3});
  }
  CHECK(from.empty());      // NOLINT(bugprone-use-after-move): a moved-from queue is empty
  CHECK(from.size() == 0);  // NOLINT(bugprone-use-after-move)
  push_back(from, 7, &alive);
  CHECK(drain(from) == std::vector<int>{7});
  CHECK(alive == 0);
}

TEST_CASE("a queue behaves as a std::deque under 100,000 random operations", "[queue]") {
  std::mt19937 random(20240611);
  Queue queue;
  std::deque<Element*> model;
  int alive = 0;
  int next_value = 0;
  bool same = true;
  for (int step = 0; step < 100'000; ++step) {
    const auto choice = random() % 8;
    if (choice < 3 || model.empty()) {
      model.push_back(&push_back(queue, next_value++, &alive));
    } else if (choice == 3) {
      auto element = std::make_unique<Element>(next_value++, &alive);
      model.push_front(element.get());
      queue.push_front(std::move(element));
    } else if (choice < 6) {
      same = same && queue.pop_front().get() == model.front();
      model.pop_front();
    } else {
      const auto place = model.begin() + static_cast<std::ptrdiff_t>(random() % model.size());
      same = same && queue.remove(**place).get() == *place;
      model.erase(place);
    }
    same = same && queue.size() == model.size() && queue.empty() == model.empty() &&
           static_cast<std::size_t>(alive) == model.size();
    if (!same) FAIL("differs at step " << step);
  }
  for (const Element* const expected : model) REQUIRE(queue.pop_front().get() == expected);
  CHECK(queue.empty());
}
