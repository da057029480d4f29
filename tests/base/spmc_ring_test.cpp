// SpmcRing: each element goes to one thread or back to where it came from, never both, never neither.
#include "base/spmc_ring.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "support/collide.hpp"

namespace {

using Ring = leasepool::detail::SpmcRing<int, 8>;

// 0 to count - 1.
std::vector<int*> publish(Ring& ring, int count) {
  std::vector<int*> pushed;
  for (int i = 0; i < count; ++i) {
    auto element = std::make_unique<int>(i);
    pushed.push_back(element.get());
    REQUIRE(ring.push(std::move(element)) == nullptr);
  }
  ring.publish();
  return pushed;
}

}  // namespace

TEST_CASE("elements come out in their order, and there is room for so many", "[spmc_ring]") {
  Ring ring;
  CHECK(ring.empty());
  for (int i = 0; i < 8; ++i) CHECK(ring.push(std::make_unique<int>(i)) == nullptr);
  const auto back = ring.push(std::make_unique<int>(8));
  REQUIRE(back != nullptr);
  CHECK(*back == 8);
  CHECK(ring.pop() == nullptr);  // what is not published is not seen
  ring.publish();
  for (int i = 0; i < 8; ++i) CHECK(*ring.pop() == i);
  CHECK(ring.pop() == nullptr);
}

TEST_CASE("what was taken back is passed over", "[spmc_ring]") {
  Ring ring;
  const std::vector<int*> pushed = publish(ring, 4);
  CHECK(*ring.recall(*pushed[1]) == 1);
  CHECK(*ring.recall(*pushed[0]) == 0);
  CHECK(*ring.pop() == 2);
  CHECK(ring.recall(*pushed[2]) == nullptr);
  CHECK(*ring.pop() == 3);
  CHECK(ring.pop() == nullptr);
  CHECK(ring.empty());
}

TEST_CASE("a ring whose elements were all taken back has room, although nobody has come by", "[spmc_ring]") {
  Ring ring;
  for (int round = 0; round < 3; ++round) {
    for (int* const element : publish(ring, 8)) CHECK(ring.recall(*element) != nullptr);
  }
  CHECK(ring.push(std::make_unique<int>(8)) == nullptr);
  ring.publish();
  CHECK(*ring.pop() == 8);
  CHECK(ring.pop() == nullptr);
}

TEST_CASE("each element is had by one, with many threads that take and one that takes back", "[spmc_ring]") {
  constexpr int kElements = 100'000;
  Ring ring;
  std::vector<std::atomic<int>> had(kElements);
  std::atomic<bool> over = false;
  std::vector<std::jthread> consumers;
  for (int i = 0; i < 3; ++i) {
    consumers.emplace_back([&] {
      for (;;) {
        const bool last = over.load();
        const auto element = ring.pop();
        if (element) {
          ++had[static_cast<std::size_t>(*element)];
        } else if (last) {
          return;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  for (int i = 0; i < kElements; ++i) {
    auto element = std::make_unique<int>(i);
    int* const address = element.get();
    while ((element = ring.push(std::move(element)))) std::this_thread::yield();
    ring.publish();
    if (i % 3 == 0) {
      if (const auto back = ring.recall(*address)) ++had[static_cast<std::size_t>(*back)];
    }
  }
  over = true;
  consumers.clear();
  int wrong = 0;
  for (const auto& count : had) wrong += count == 1 ? 0 : 1;
  CHECK(wrong == 0);
}

TEST_CASE("an element that is taken and taken back at once is had once", "[spmc_ring]") {
  leasepool::detail::SpmcRing<int, 2> ring;
  int* element = nullptr;
  const auto add = [&] {
    auto added = std::make_unique<int>(1);
    element = added.get();
    const bool refused = ring.push(std::move(added)) != nullptr;
    ring.publish();
    return !refused;
  };
  REQUIRE(add());
  int* taken = nullptr;
  int* taken_back = nullptr;
  int wrong = 0;
  leasepool::test::collide([&] { taken = ring.pop().release(); }, [&] { taken_back = ring.recall(*element).release(); },
                           [&] {
                             if ((taken == nullptr) == (taken_back == nullptr)) ++wrong;
                             delete (taken != nullptr ? taken : taken_back);
                             if (!add()) ++wrong;
                             return wrong == 0;
                           });
  CHECK(wrong == 0);
}

TEST_CASE("whoever looks while others take what is first sees that there is more", "[spmc_ring]") {
  Ring ring;
  (void)publish(ring, 2);
  std::unique_ptr<int> taken;
  bool saw = false;
  int missed = 0;
  leasepool::test::collide([&] { taken = ring.pop(); }, [&] { saw = !ring.empty(); },
                           [&] {
                             missed += saw && taken ? 0 : 1;
                             (void)ring.push(std::move(taken));
                             ring.publish();
                             return missed == 0;
                           });
  CHECK(missed == 0);
}

// Only the end of an element that is under way brings the next push.
TEST_CASE("a ring whose elements were all taken back has room, whatever consumers are at", "[spmc_ring]") {
  leasepool::detail::SpmcRing<int, 2> ring;
  std::array<std::unique_ptr<int>, 3> elements{std::make_unique<int>(0), std::make_unique<int>(1),
                                               std::make_unique<int>(2)};
  const auto push = [&](std::size_t number) {
    elements[number] = ring.push(std::move(elements[number]));
    ring.publish();
    return elements[number] == nullptr;
  };
  const auto recall = [&](std::size_t number, int& address) {
    return (elements[number] = ring.recall(address)) != nullptr;
  };
  int* const first = elements[0].get();
  int* const second = elements[1].get();
  REQUIRE(push(0));
  std::unique_ptr<int> taken;
  int wrong = 0;
  leasepool::test::collide([&] { taken = ring.pop(); },
                           [&] {
                             if (recall(0, *first) && push(1) && recall(1, *second)) wrong += push(2) ? 0 : 1;
                           },
                           [&] {
                             if (!taken) taken = ring.pop();
                             for (; taken; taken = ring.pop()) {
                               elements[static_cast<std::size_t>(*taken)] = std::move(taken);
                             }
                             for (const auto& element : elements) wrong += element ? 0 : 1;
                             if (wrong == 0) wrong += push(0) ? 0 : 1;
                             return wrong == 0;
                           });
  CHECK(wrong == 0);
}

TEST_CASE("a place whose element is there is not filled", "[spmc_ring]") {
  leasepool::detail::SpmcRing<int, 2> ring;
  std::array<std::unique_ptr<int>, 3> elements{std::make_unique<int>(0), std::make_unique<int>(1),
                                               std::make_unique<int>(2)};
  const auto push = [&](std::size_t number) {
    elements[number] = ring.push(std::move(elements[number]));
    ring.publish();
  };
  push(0);
  push(1);
  std::unique_ptr<int> taken;
  int wrong = 0;
  // There is room for the third as soon as the first was taken.
  leasepool::test::collide([&] { taken = ring.pop(); },
                           [&] {
                             for (int tries = 0; tries < 1000 && elements[2]; ++tries) push(2);
                           },
                           [&] {
                             for (; taken; taken = ring.pop()) {
                               auto& place = elements[static_cast<std::size_t>(*taken)];
                               wrong += place ? 1 : 0;
                               place = std::move(taken);
                             }
                             for (const auto& element : elements) wrong += element ? 0 : 1;
                             if (wrong == 0) push(0);
                             if (wrong == 0) push(1);
                             return wrong == 0;
                           });
  CHECK(wrong == 0);
}
