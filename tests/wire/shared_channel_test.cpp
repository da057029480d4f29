// SharedChannel: one order of frames over two ways, a sleeper that is woken once, and an other end that lies.
#include "wire/shared_channel.hpp"
#include "leasepool/detail/access.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"
#include "wire/channel_harness.hpp"

using namespace leasepool::test;
using leasepool::detail::ByteRing;
using leasepool::detail::ByteRingReader;
using leasepool::detail::ByteRingWriter;
using leasepool::detail::Bytes;
using leasepool::detail::Channel;
using leasepool::detail::FrameDecoder;
using leasepool::detail::FrameType;
using leasepool::detail::kFrameHeaderSize;
using leasepool::detail::kReservedRoom;
using leasepool::detail::SharedChannel;

namespace {

Message message_of(FrameType type, std::uint64_t call_id = 0) {
  return {.type = type, .call_id = call_id, .function_id = 0, .payload = {}};
}

// The test is the other end.
struct SharedHarness {
  SharedHarness() {
    channel->open();
    channel->expect(true);
    REQUIRE(send(message_of(FrameType::hello)));
    REQUIRE(drive_until([this] { return owner.frames.size() == 1; }));
    owner.frames.clear();
  }
  SharedHarness(const SharedHarness&) = delete;
  SharedHarness& operator=(const SharedHarness&) = delete;
  ~SharedHarness() {
    channel->detach();
    (void)drive_until([this] { return leasepool::detail::Access::core(loop)->engine().in_flight() == own_operations; });
  }
  [[nodiscard]] bool drive_until(const std::function<bool()>& holds) {
    return leasepool::detail::Access::core(loop)->run_completions_until(
        holds, leasepool::detail::Access::core(loop)->now() + std::chrono::seconds(60));
  }
  // Handles what is there already.
  void drive_briefly() {
    (void)leasepool::detail::Access::core(loop)->run_completions_until(
        [] { return false; }, leasepool::detail::Access::core(loop)->now() + std::chrono::milliseconds(1));
  }
  [[nodiscard]] bool send(const Message& message) const {
    return send_all(sockets.theirs.get(), encode(message).view());
  }
  void write(const Message& message) {
    their_writer.write(encode(message).view());
    their_writer.publish();
    if (their_writer.must_wake()) CHECK(send(message_of(FrameType::wake)));
  }
  [[nodiscard]] std::vector<std::uint64_t> received_ids() const {
    std::vector<std::uint64_t> ids;
    for (const Message& message : owner.frames) ids.push_back(message.call_id);
    return ids;
  }
  [[nodiscard]] bool ends_with(const std::string& violation) {
    return drive_until([this] { return !owner.ends.empty(); }) && owner.ends == std::vector<std::string>{violation};
  }

  leasepool::Loop loop;
  std::size_t own_operations = leasepool::detail::Access::core(loop)->engine().in_flight();
  SocketPair sockets;
  std::unique_ptr<ByteRing> calls = std::make_unique<ByteRing>();
  std::unique_ptr<ByteRing> outcomes = std::make_unique<ByteRing>();
  ByteRingReader their_reader{calls.get()};
  ByteRingWriter their_writer{outcomes.get()};
  NotingOwner owner;
  std::shared_ptr<SharedChannel> channel =
      std::make_shared<SharedChannel>(*leasepool::detail::Access::core(loop), std::move(sockets.ours),
                                      leasepool::detail::RingPair{.out = calls.get(), .in = outcomes.get()},
                                      std::size_t{16} << 20, std::chrono::microseconds(50), owner);
};

}  // namespace

TEST_CASE("frames come through memory, and wake a loop that sleeps", "[shared_channel]") {
  SharedHarness ends;
  for (std::uint64_t id = 1; id <= 5; ++id) ends.write(value_message(id, 100));
  CHECK(ends.drive_until([&] { return ends.owner.frames.size() == 5; }));
  CHECK(ends.received_ids() == std::vector<std::uint64_t>{1, 2, 3, 4, 5});
  CHECK(ends.owner.frames[2].payload == value_message(3, 100).payload);
}

TEST_CASE("frames keep their order over both ways", "[shared_channel]") {
  SharedHarness ends;
  ends.write(value_message(1, 10));
  ends.write(message_of(FrameType::via_socket));
  ends.write(value_message(3, 10));
  CHECK(ends.drive_until([&] { return ends.owner.frames.size() == 1; }));
  CHECK(ends.send(value_message(2, 100'000)));
  CHECK(ends.drive_until([&] { return ends.owner.frames.size() == 3; }));
  CHECK(ends.received_ids() == std::vector<std::uint64_t>{1, 2, 3});

  // The socket may be the faster one.
  ends.their_writer.write(encode(value_message(4, 10)).view());
  ends.their_writer.write(encode(message_of(FrameType::via_socket)).view());
  ends.their_writer.write(encode(value_message(6, 10)).view());
  ends.their_writer.publish();
  CHECK(ends.send(value_message(5, 10)));
  CHECK(ends.drive_until([&] { return ends.owner.frames.size() == 6; }));
  CHECK(ends.received_ids() == std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6});
}

TEST_CASE("what is sent goes through memory where there is room, else through the socket, in one order",
          "[shared_channel]") {
  SharedHarness ends;
  Bytes small = encode(value_message(1, 100));
  Bytes large = encode(value_message(2, ByteRing::kSize));
  ends.channel->queue(small, {}, 1);
  ends.channel->queue(large, {}, 2);
  ends.channel->queue(small, {}, 3);
  ends.channel->flush();

  FrameDecoder ring(1000);
  ends.their_reader.refresh();
  ring.filled(ends.their_reader.read(ring.space()));
  CHECK(ring.next()->type == FrameType::value);
  CHECK(ring.next()->type == FrameType::via_socket);
  CHECK(ring.next()->type == FrameType::value);
  CHECK_FALSE(ring.next().has_value());

  FrameDecoder socket(std::size_t{1} << 20);
  std::vector<Message> came;
  REQUIRE(ends.drive_until([&] {  // asked whenever a part has been sent
    for (;;) {
      const auto space = socket.space();
      const ssize_t size = ::recv(ends.sockets.theirs.get(), space.data(), space.size(), MSG_DONTWAIT);
      if (size <= 0) break;
      socket.filled(static_cast<std::size_t>(size));
      if (const auto frame = socket.next()) came.push_back(to_message(*frame));
    }
    return came.size() == 1;
  }));
  CHECK(came[0].call_id == 2);
}

TEST_CASE("an other end that sleeps is woken once", "[shared_channel]") {
  SharedHarness ends;
  REQUIRE(ends.their_reader.prepare_park());
  Bytes frame = encode(value_message(1, 10));
  for (int i = 0; i < 3; ++i) {
    ends.channel->queue(frame, {}, 1);
    ends.channel->flush();
  }
  std::byte bytes[1000];
  ssize_t size = 0;
  REQUIRE(ends.drive_until(
      [&] { return (size = ::recv(ends.sockets.theirs.get(), bytes, sizeof bytes, MSG_DONTWAIT)) > 0; }));
  CHECK(size == static_cast<ssize_t>(kFrameHeaderSize));
}

TEST_CASE("an other end that lies is found out", "[shared_channel][W7]") {
  SharedHarness ends;
  SECTION("about how much it wrote") {
    ends.outcomes->written = UINT64_MAX / 2;
    CHECK(ends.ends_with("it wrote more to its ring than there is room for"));
  }
  SECTION("about how much it read") {
    ends.calls->read = ByteRing::kSize;
    for (std::uint64_t number = 1; number <= 2; ++number) {  // it is looked at when the ring may be full
      Bytes frame = encode(value_message(number, ByteRing::kSize / 2));
      ends.channel->queue(frame, {}, number);
      CHECK(ends.owner.ends.empty());  // told later, as everything is
    }
    CHECK(ends.ends_with("it read what was not written to its ring"));
  }
  SECTION("with what is no frame") {
    ends.their_writer.write(std::vector<std::byte>(kFrameHeaderSize, std::byte{0xff}));
    ends.their_writer.publish();
    CHECK(ends.ends_with("not a frame: wrong magic number"));
  }
  SECTION("with a frame through its socket that its ring does not announce") {
    CHECK(ends.send(value_message(1, 10)));
    CHECK(ends.ends_with("a frame through its socket that its ring does not announce"));
  }
  SECTION("by waking who does not sleep") {
    for (int i = 0; i < 100; ++i) CHECK(ends.send(message_of(FrameType::wake)));
    CHECK(ends.ends_with("it woke who did not sleep"));
  }
  ends.their_writer.write(encode(value_message(9, 10)).view());  // nothing of it is believed any more
  ends.their_writer.publish();
  CHECK_FALSE(ends.channel->pure_poll());
}

TEST_CASE("what was written before the end is received before it", "[shared_channel]") {
  SharedHarness ends;
  ends.their_writer.write(encode(value_message(1, 10)).view());
  ends.their_writer.publish();
  ends.sockets.theirs.reset();
  CHECK(ends.ends_with(""));
  CHECK(ends.received_ids() == std::vector<std::uint64_t>{1});
}

TEST_CASE("an other end that says that it sleeps and never reads is found out, and what is kept for it has a bound",
          "[shared_channel][W7]") {
  SharedHarness ends;
  Bytes frame = encode(value_message(1, 10));
  std::byte read[200];
  int sent = 0;
  for (; sent < 100'000 && ends.owner.ends.empty(); ++sent) {
    ends.calls->reader_sleeps = 1;
    ends.channel->queue(frame, {}, 1);
    ends.channel->flush();
    ends.drive_briefly();
    ends.their_reader.refresh();
    while (ends.their_reader.read(read) != 0) {
    }
  }
  CHECK(sent < 100'000);
  CHECK(ends.ends_with("it does not read what is to wake it"));
}

TEST_CASE("an other end is woken again each time that it slept, however often", "[shared_channel]") {
  SharedHarness ends;
  Bytes frame = encode(value_message(1, 10));
  std::byte read[200];
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(ends.their_reader.prepare_park());
    ends.channel->queue(frame, {}, 1);
    ends.channel->flush();
    REQUIRE(ends.drive_until(
        [&] { return ::recv(ends.sockets.theirs.get(), read, kFrameHeaderSize, MSG_DONTWAIT) == kFrameHeaderSize; }));
    ends.their_reader.refresh();
    while (ends.their_reader.read(read) != 0) {
    }
  }
  CHECK(ends.owner.ends.empty());
}

TEST_CASE("an other end that is sent ever more through the socket and never reads it is found out",
          "[shared_channel][W7]") {
  SharedHarness ends;
  const std::size_t size = GENERATE(std::size_t{100'000}, std::size_t{15} << 20);
  std::byte read[200];
  std::size_t sent = 0;
  for (; sent < 10'000 && ends.owner.ends.empty(); ++sent) {
    Bytes frame = encode(value_message(1, size));
    ends.channel->queue(frame, {}, 1);
    ends.channel->flush();
    ends.drive_briefly();
    ends.their_reader.refresh();
    while (ends.their_reader.read(read) != 0) {
    }
  }
  CHECK(sent * size < std::size_t{80} << 20);  // with a max_payload of 16 MiB
  CHECK(ends.ends_with("it answered what it had not read"));
}

TEST_CASE("a channel that is paused keeps what comes either way, in its order", "[shared_channel]") {
  SharedHarness ends;
  ends.owner.on_frame = [&] { ends.channel->pause(); };
  ends.write(value_message(1, 10));
  ends.write(message_of(FrameType::via_socket));
  ends.write(value_message(3, 10));
  ends.write(value_message(4, 10));
  CHECK(ends.send(value_message(2, 100'000)));
  std::size_t paused_at = 0;
  while (ends.owner.frames.size() < 4) {
    REQUIRE(ends.drive_until([&] { return ends.owner.frames.size() > paused_at; }));
    paused_at = ends.owner.frames.size();
    CHECK_FALSE(ends.channel->pure_poll());
    ends.channel->go_on();
  }
  CHECK(ends.received_ids() == std::vector<std::uint64_t>{1, 2, 3, 4});
  CHECK(paused_at >= 3);
  CHECK(ends.owner.ends.empty());
}

TEST_CASE("what a paused channel was sent before its end is handed over before that", "[shared_channel]") {
  SharedHarness ends;
  ends.owner.on_frame = [&] { ends.channel->pause(); };
  for (std::uint64_t id = 1; id <= 3; ++id) ends.their_writer.write(encode(value_message(id, 10)).view());
  ends.their_writer.publish();
  REQUIRE(ends.drive_until([&] { return ends.owner.frames.size() == 1; }));
  ends.sockets.theirs.reset();
  CHECK(ends.drive_until([&] { return !ends.owner.ends.empty(); }));
  CHECK(ends.received_ids() == std::vector<std::uint64_t>{1, 2, 3});
  CHECK(ends.owner.ends == std::vector<std::string>{""});
}
