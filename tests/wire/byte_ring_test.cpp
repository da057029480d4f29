// ByteRing: what goes in comes out, around its end, and whoever lies about positions is found out.
#include "wire/byte_ring.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "wire/frames.hpp"

namespace {

using leasepool::detail::ByteRing;
using leasepool::detail::ByteRingReader;
using leasepool::detail::ByteRingWriter;
using leasepool::detail::DecodeError;
using leasepool::test::pattern;

struct RingEnds {
  std::unique_ptr<ByteRing> ring = std::make_unique<ByteRing>();
  ByteRingWriter writer{ring.get()};
  ByteRingReader reader{ring.get()};
};

}  // namespace

TEST_CASE("bytes are read as they were written, once they are published", "[byte_ring]") {
  RingEnds ends;
  CHECK(ends.writer.room() == ByteRing::kSize);
  const auto bytes = pattern(100, 1);
  ends.writer.write(bytes);
  CHECK_FALSE(ends.reader.ready());
  ends.writer.publish();
  CHECK(ends.reader.ready());

  std::vector<std::byte> into(1000);
  CHECK(ends.reader.read(into) == 0);  // nobody has looked
  ends.reader.refresh();
  CHECK(ends.reader.read({into.data(), 60}) == 60);
  CHECK(ends.writer.room() == ByteRing::kSize - 40);
  CHECK(ends.reader.read({into.data() + 60, 940}) == 40);
  CHECK(std::equal(bytes.begin(), bytes.end(), into.begin()));
  CHECK_FALSE(ends.reader.ready());
}

TEST_CASE("a ring goes round for ever", "[byte_ring]") {
  RingEnds ends;
  std::minstd_rand random(7);
  std::vector<std::byte> sent;
  std::vector<std::byte> received;
  for (unsigned round = 0; round < 500; ++round) {
    const auto bytes = pattern(std::min<std::size_t>(random() % 3000, ends.writer.room()), round);
    ends.writer.write(bytes);
    ends.writer.publish();
    sent.insert(sent.end(), bytes.begin(), bytes.end());
    ends.reader.refresh();
    std::vector<std::byte> into(random() % 3000);
    into.resize(ends.reader.read(into));
    received.insert(received.end(), into.begin(), into.end());
  }
  std::vector<std::byte> rest(ByteRing::kSize);
  rest.resize(ends.reader.read(rest));
  received.insert(received.end(), rest.begin(), rest.end());
  CHECK(sent.size() > 4 * ByteRing::kSize);
  CHECK(sent == received);
}

TEST_CASE("positions that cannot be are found out", "[byte_ring][W7]") {
  RingEnds ends;
  ends.writer.write(pattern(10, 0));
  ends.writer.publish();

  ends.ring->written = ByteRing::kSize + 1;
  CHECK_THROWS_AS(ends.reader.refresh(), DecodeError);
  ends.ring->written = UINT64_MAX;
  CHECK_THROWS_AS(ends.reader.refresh(), DecodeError);
  ends.ring->read = 11;  // of 10
  CHECK_THROWS_AS(ends.writer.room(), DecodeError);
  ends.ring->read = UINT64_MAX;
  CHECK(ends.writer.room() == ByteRing::kSize - 11);  // one less than nothing: as full as a ring may be
}

TEST_CASE("a reader that prepared to sleep is woken once, and does not sleep where something is", "[byte_ring]") {
  RingEnds ends;
  CHECK_FALSE(ends.writer.must_wake());
  CHECK(ends.reader.prepare_park());
  ends.writer.write(pattern(1, 0));
  ends.writer.publish();
  CHECK(ends.writer.must_wake());
  CHECK_FALSE(ends.writer.must_wake());
  CHECK_FALSE(ends.reader.prepare_park());
  CHECK_FALSE(ends.writer.must_wake());
}

TEST_CASE("a writer and a reader in two threads lose and invent nothing", "[byte_ring]") {
  RingEnds ends;
  constexpr std::uint64_t kNumbers = 20'000;
  std::jthread writer([&] {
    for (std::uint64_t number = 0; number < kNumbers; ++number) {
      while (ends.writer.room() < sizeof number) std::this_thread::yield();
      ends.writer.write(std::as_bytes(std::span(&number, 1)));
      ends.writer.publish();
    }
  });
  std::uint64_t wrong = 0;
  for (std::uint64_t expected = 0; expected < kNumbers; ++expected) {
    std::uint64_t number = 0;
    auto into = std::as_writable_bytes(std::span(&number, 1));
    while (!into.empty()) {
      ends.reader.refresh();
      const std::size_t size = ends.reader.read(into);
      into = into.subspan(size);
      if (size == 0) std::this_thread::yield();
    }
    wrong += number == expected ? 0 : 1;
  }
  CHECK(wrong == 0);
}
