// HandOver: each element is taken once by a thread that looks, and its giver sees when that is done with it, or has
// left it to be handed back.
#include "base/hand_over.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include "catch.hpp"

namespace hand_over_tests {

using Place = leasepool::detail::HandOver<int>;

TEST_CASE("an element goes to a taker that looks, and is seen when it is finished", "[hand_over]") {
  Place place;
  int element = 1;
  CHECK_FALSE(place.hand(element));  // nobody looks
  place.open();
  CHECK(place.taken() == nullptr);
  CHECK(place.hand(element));
  int another = 2;
  CHECK_FALSE(place.hand(another));  // there is one
  CHECK_FALSE(place.finished(element));
  CHECK(place.taken() == &element);
  CHECK_FALSE(place.close());  // with something in it
  CHECK_FALSE(place.finish());
  CHECK(place.finished(element));
  CHECK(place.hand(another));  // it looks again
  CHECK(place.finished(element));
  CHECK_FALSE(place.finish());
  CHECK(place.close());
  CHECK_FALSE(place.hand(element));
}

TEST_CASE("an element that is left is the taker's to hand back; one that is finished stays the giver's",
          "[hand_over]") {
  Place place;
  int element = 1;
  place.open();
  REQUIRE(place.hand(element));
  CHECK(place.leave(element));
  CHECK(place.taken() == &element);
  CHECK(place.finish());
  REQUIRE(place.hand(element));
  CHECK_FALSE(place.finish());
  CHECK_FALSE(place.leave(element));
  CHECK(place.finished(element));
}

// What the taker writes is plain memory, so that ThreadSanitizer sees whether the hand-over orders it.
TEST_CASE("between two threads each element is finished or handed back, once", "[hand_over]") {
  constexpr int kElements = 50'000;
  struct Element {
    int taken = 0;
    int finished = 0;
  };
  std::vector<Element> elements(kElements);
  leasepool::detail::HandOver<Element> place;
  std::atomic<int> handed_back = 0;
  std::atomic<bool> over = false;
  std::jthread taker([&] {
    place.open();
    for (int looks = 1;; ++looks) {
      Element* const element = place.taken();
      if (element != nullptr) {
        ++element->taken;
        ++element->finished;
        if (place.finish()) ++handed_back;
        continue;
      }
      if (over.load()) return;
      if (looks % 64 == 0 && place.close()) place.open();
      std::this_thread::yield();
    }
  });
  int seen = 0;
  int left = 0;
  for (Element& element : elements) {
    while (!place.hand(element)) std::this_thread::yield();
    if ((seen + left) % 3 == 0 && place.leave(element)) {
      ++left;
      continue;
    }
    while (!place.finished(element)) std::this_thread::yield();
    seen += element.finished;
  }
  over = true;
  taker.join();
  int wrong = 0;
  for (const Element& element : elements) wrong += element.taken == 1 && element.finished == 1 ? 0 : 1;
  CHECK(wrong == 0);
  CHECK(handed_back == left);
  CHECK(seen + left == kElements);
}

}  // namespace hand_over_tests
