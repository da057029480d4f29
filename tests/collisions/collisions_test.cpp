// What has one outcome whoever is first, while two threads are at it in the same moment.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/hand_over.hpp"
#include "base/parking.hpp"
#include "base/spmc_ring.hpp"
#include "base/spsc_ring.hpp"
#include "catch.hpp"
#include "loop/inbox.hpp"
#include "support/collide.hpp"
#include "wire/byte_ring.hpp"

namespace collisions {

using leasepool::detail::ByteRing;
using leasepool::detail::ByteRingReader;
using leasepool::detail::ByteRingWriter;
using leasepool::detail::Deliverable;
using leasepool::detail::HandedBack;
using leasepool::detail::HandOver;
using leasepool::detail::Inbox;
using leasepool::detail::IntrusiveQueue;
using leasepool::detail::Parking;
using leasepool::detail::SpmcRing;
using leasepool::detail::SpscRing;
using leasepool::test::collide;

struct Nothing final : Deliverable {
  void handed_back(std::unique_ptr<Deliverable> /*self*/) override {}
  void deliver() override {}
};

bool was_rung(const Inbox& inbox) {
  std::uint64_t count = 0;
  return ::read(inbox.doorbell_fd(), &count, sizeof count) == sizeof count;
}

}  // namespace collisions

TEST_CASE("who brings work sees the thread that parks, or that thread sees the work", "[parking][spmc_ring]") {
  collisions::SpmcRing<int, 8> ring;
  collisions::Parking parking;
  auto work = std::make_unique<int>(1);
  bool woke = false;
  bool saw = false;
  int missed = 0;
  collisions::collide(
      [&] {
        (void)ring.push(std::move(work));
        ring.publish();
        woke = parking.unpark_one();
      },
      [&] {
        (void)parking.prepare_park(false);
        saw = !ring.empty();
      },
      [&] {
        missed += woke || saw ? 0 : 1;
        if (parking.cancel_park()) parking.end_spinning();
        work = ring.pop();
        return missed == 0;
      });
  CHECK(missed == 0);
}

TEST_CASE("who adds a result sees that it was fetched, or whoever fetches sees the result", "[spsc_ring]") {
  collisions::SpscRing<int, 8> ring;
  REQUIRE(ring.push(std::make_unique<int>(0)));
  auto result = std::make_unique<int>(1);
  bool notifies = false;
  int fetched = 0;
  int missed = 0;
  collisions::collide([&] { notifies = ring.push(std::move(result)); },
                      [&] {
                        ring.acknowledge();
                        while (ring.pop()) ++fetched;
                      },
                      [&] {
                        missed += notifies || fetched == 2 ? 0 : 1;
                        ring.acknowledge();
                        while (ring.pop()) ++fetched;
                        if (fetched != 2 || !ring.push(std::make_unique<int>(0))) ++missed;
                        fetched = 0;
                        result = std::make_unique<int>(1);
                        return missed == 0;
                      });
  CHECK(missed == 0);
}

TEST_CASE("who hands over sees that the place was closed, or whoever closes it sees what was handed", "[hand_over]") {
  collisions::HandOver<int> place;
  int element = 0;
  place.open();
  bool handed = false;
  bool closed = false;
  int wrong = 0;
  collisions::collide([&] { closed = place.close(); }, [&] { handed = place.hand(element); },
                      [&] {
                        wrong += handed != closed ? 0 : 1;
                        if (handed && (place.taken() != &element || place.finish())) ++wrong;
                        if (closed) place.open();
                        return wrong == 0;
                      });
  CHECK(wrong == 0);
}

TEST_CASE("who leaves what it handed over sees it finished, or whoever finishes it sees that it was left",
          "[hand_over]") {
  collisions::HandOver<int> place;
  int element = 0;
  place.open();
  REQUIRE(place.hand(element));
  bool left = false;
  bool hands_back = false;
  int wrong = 0;
  collisions::collide(
      [&] {
        ++element;  // it is whole when it is seen finished
        hands_back = place.finish();
      },
      [&] { left = place.leave(element); },
      [&] {
        wrong += left == hands_back && place.finished(element) ? 0 : 1;
        if (!place.hand(element)) ++wrong;
        return wrong == 0;
      });
  CHECK(wrong == 0);
}

TEST_CASE("who publishes bytes sees that the reader sleeps, or the reader sees the bytes", "[byte_ring]") {
  const auto ring = std::make_unique<collisions::ByteRing>();
  collisions::ByteRingWriter writer(ring.get());
  collisions::ByteRingReader reader(ring.get());
  std::byte byte{};
  bool wakes = false;
  bool sleeps = false;
  int missed = 0;
  collisions::collide(
      [&] {
        writer.publish();
        wakes = writer.must_wake();
      },
      [&] { sleeps = reader.prepare_park(); },
      [&] {
        if (sleeps && !wakes && reader.ready()) ++missed;
        reader.cancel_park();
        reader.refresh();
        (void)reader.read({&byte, 1});
        if (writer.room() != 0) writer.write({&byte, 1});
        return missed == 0;
      });
  CHECK(missed == 0);
}

TEST_CASE("a thread rings for the loop that falls asleep, or the loop sees what the thread has brought", "[inbox]") {
  collisions::Inbox inbox;
  inbox.exit_interrupt_mode();
  const auto of_thread = std::make_shared<collisions::HandedBack>();
  collisions::IntrusiveQueue<collisions::Deliverable> fetched;
  std::unique_ptr<collisions::Deliverable> result = std::make_unique<collisions::Nothing>();
  bool sleeps = false;
  int missed = 0;
  collisions::collide(
      [&] {
        (void)inbox.empty();  // so that neither has the memory to itself, and stores take longer
        inbox.hand_back(of_thread, std::move(result));
      },
      [&] { sleeps = inbox.try_enter_interrupt_mode(); },
      [&] {
        if (!collisions::was_rung(inbox) && sleeps) ++missed;
        inbox.exit_interrupt_mode();
        inbox.take_handed_back(fetched);
        if (fetched.size() != 1) ++missed;
        if (!fetched.empty()) result = fetched.pop_front();
        return missed == 0;
      });
  CHECK(missed == 0);
}
