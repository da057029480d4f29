// Tests of Channel over a real socket pair: frames both ways, large ones in parts, and in what order its end comes.
#include "wire/channel.hpp"

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "wire/channel_harness.hpp"

using leasepool::detail::Bytes;
using leasepool::detail::Channel;
using leasepool::detail::kFrameHeaderSize;
using leasepool::test::ChannelHarness;
using leasepool::test::encode;
using leasepool::test::kLarge;
using leasepool::test::Message;
using leasepool::test::NotingOwner;
using leasepool::test::receive;
using leasepool::test::send_all;
using leasepool::test::value_message;

namespace {

// Makes the kernel take a large frame in many parts.
void shrink_buffers(int socket) {
  const int small = 8192;
  ::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
}

}  // namespace

TEST_CASE("frames go both ways", "[channel]") {
  ChannelHarness one;
  NotingOwner other_owner;
  const auto other = std::make_shared<Channel>(one.core(), std::move(one.sockets.theirs), 1 << 20, other_owner);
  one.channel->open();
  other->open();
  const Message question = value_message(1, 100);
  const Message answer = value_message(2, 5000);
  one.channel->send(encode(question));
  REQUIRE(one.drive_until([&] { return !other_owner.frames.empty(); }));
  other->send(encode(answer));
  REQUIRE(one.drive_until([&] { return !one.owner.frames.empty(); }));
  CHECK(other_owner.frames == std::vector{question});
  CHECK(one.owner.frames == std::vector{answer});
  CHECK(one.in_flight() == 2);  // their receives
  other->detach();
}

TEST_CASE("a frame of 8 MiB is sent whole though the kernel takes it in parts, and others follow in order",
          "[channel]") {
  ChannelHarness harness;
  shrink_buffers(harness.sockets.theirs.get());
  harness.channel->open();
  const std::vector<Message> messages{value_message(1, 10), value_message(2, kLarge), value_message(3, 10),
                                      value_message(4, 300'000)};
  std::size_t total = 0;
  for (const Message& message : messages) {
    Bytes frame = encode(message);
    total += frame.size();
    harness.channel->send(std::move(frame));
  }
  CHECK(harness.in_flight() == 2);  // one receive and, whatever waits behind it, one send
  std::vector<std::byte> got;
  std::jthread reader([&] { got = receive(harness.sockets.theirs.get(), total); });
  REQUIRE(harness.drive_until([&] { return harness.in_flight() == 1; }));
  reader.join();
  leasepool::detail::FrameDecoder decoder(kLarge);
  CHECK(leasepool::test::decode(decoder, got) == messages);
}

TEST_CASE("a frame of 8 MiB is received whole though it comes in parts, and others follow in order", "[channel]") {
  ChannelHarness harness;
  shrink_buffers(harness.sockets.theirs.get());
  harness.channel->open();
  const std::vector<Message> messages{value_message(1, 0), value_message(2, kLarge), value_message(3, 10)};
  std::jthread writer([&] {
    for (const Message& message : messages) (void)harness.send(message);
  });
  REQUIRE(harness.drive_until([&] { return harness.owner.frames.size() == messages.size(); }));
  CHECK(harness.owner.frames == messages);
  CHECK(harness.owner.ends.empty());
}

TEST_CASE("1,000 frames of random sizes cross each other unharmed", "[channel]") {
  std::mt19937 random(11);
  std::vector<Message> messages;
  Bytes stream;
  for (int i = 0; i < 1000; ++i) {
    messages.push_back(leasepool::test::random_message(random, i % 50 == 0 ? 200'000 : 500));
    stream.append(encode(messages.back()).view());
  }
  ChannelHarness harness;
  harness.channel->open();
  std::vector<std::byte> got;
  std::jthread writer([&] { (void)send_all(harness.sockets.theirs.get(), stream.view()); });
  std::jthread reader([&] { got = receive(harness.sockets.theirs.get(), stream.size()); });
  for (const Message& message : messages) harness.channel->send(encode(message));
  REQUIRE(
      harness.drive_until([&] { return harness.owner.frames.size() == messages.size() && harness.in_flight() == 1; }));
  reader.join();
  CHECK(harness.owner.frames == messages);
  leasepool::detail::FrameDecoder decoder(200'000);
  CHECK(leasepool::test::decode(decoder, got) == messages);
}

TEST_CASE("what was sent before the other end closed is handed over, and then the end, once", "[channel]") {
  ChannelHarness harness;
  const std::vector<Message> messages{value_message(1, 10), value_message(2, 100'000), value_message(3, 0)};
  for (const Message& message : messages) REQUIRE(harness.send(message));
  SECTION("on a boundary of frames") {}
  SECTION("in the middle of a frame") {
    REQUIRE(send_all(harness.sockets.theirs.get(), encode(value_message(4, 100)).view().first(50)));
  }
  SECTION("in the middle of a header") {
    REQUIRE(send_all(harness.sockets.theirs.get(), encode(value_message(4, 100)).view().first(5)));
  }
  harness.sockets.theirs.reset();
  harness.channel->open();
  harness.owner.on_end = [&] { CHECK(harness.owner.frames.size() == messages.size()); };
  REQUIRE(harness.drive_until([&] { return !harness.owner.ends.empty(); }));
  harness.drive_briefly();
  CHECK(harness.owner.frames == messages);
  CHECK(harness.owner.ends == std::vector<std::string>{""});
  CHECK(harness.in_flight() == 0);
}

TEST_CASE("bytes that are no frames end the channel once, by name, after the frames before them", "[channel]") {
  ChannelHarness harness(1000);
  const Message good = value_message(1, 10);
  Bytes stream = encode(good);
  std::string expected;
  SECTION("a wrong magic number") {
    stream.append(leasepool::test::pattern(kFrameHeaderSize));
    expected = "magic";
  }
  SECTION("a payload over the limit") {
    stream.append(encode(value_message(2, 1001)).view());
    expected = "1001";
  }
  stream.append(encode(value_message(3, 10)).view());
  harness.channel->open();
  REQUIRE(send_all(harness.sockets.theirs.get(), stream.view()));
  REQUIRE(harness.drive_until([&] { return !harness.owner.ends.empty(); }));
  REQUIRE(harness.send(value_message(4, 10)));
  harness.sockets.theirs.reset();
  harness.drive_briefly();
  CHECK(harness.owner.frames == std::vector{good});
  REQUIRE(harness.owner.ends.size() == 1);
  CHECK_THAT(harness.owner.ends[0], ContainsSubstring(expected));
  CHECK(harness.in_flight() == 0);
}

TEST_CASE("a channel whose other end closed can still be sent to, in vain", "[channel]") {
  ChannelHarness harness;
  harness.channel->open();
  harness.sockets.theirs.reset();
  REQUIRE(harness.drive_until([&] { return !harness.owner.ends.empty(); }));
  for (std::uint64_t i = 0; i < 3; ++i) {
    harness.channel->send(encode(value_message(i, 100)));
    REQUIRE(harness.drive_until([&] { return harness.in_flight() == 0; }));
  }
  CHECK(harness.owner.ends.size() == 1);
}

TEST_CASE("a send that fails in the middle of a frame leaves no trace in the next", "[channel]") {
  ChannelHarness harness;
  shrink_buffers(harness.sockets.theirs.get());
  harness.channel->send(encode(value_message(1, kLarge)));
  harness.channel->send(encode(value_message(2, 10)));
  std::jthread reader([&] {
    (void)receive(harness.sockets.theirs.get(), 100'000);  // part of the first is through
    harness.sockets.theirs.reset();
  });
  REQUIRE(harness.drive_until([&] { return harness.in_flight() == 0; }));
  reader.join();
  harness.channel->send(encode(value_message(3, 0)));
  REQUIRE(harness.drive_until([&] { return harness.in_flight() == 0; }));
  harness.channel->open();
  REQUIRE(harness.drive_until([&] { return !harness.owner.ends.empty(); }));
}

TEST_CASE("an end that still sends but takes nothing any more has ended", "[channel]") {
  ChannelHarness harness;
  harness.channel->open();
  const Message last = value_message(1, 10);
  REQUIRE(harness.send(last));
  REQUIRE(::shutdown(harness.sockets.theirs.get(), SHUT_RD) == 0);
  harness.channel->send(encode(value_message(2, 10)));
  REQUIRE(harness.drive_until([&] { return !harness.owner.ends.empty(); }));
  CHECK(harness.owner.frames == std::vector{last});
  CHECK(harness.owner.ends == std::vector<std::string>{""});
  CHECK(harness.in_flight() == 0);
}

TEST_CASE("a channel that is paused hands over nothing more until it goes on", "[channel]") {
  ChannelHarness ends;
  ends.owner.on_frame = [&] { ends.channel->pause(); };
  ends.channel->open();
  for (std::uint64_t id = 1; id <= 3; ++id) CHECK(ends.send(value_message(id, 100)));
  for (std::size_t count = 1; count <= 3; ++count) {
    CHECK(ends.drive_until([&] { return ends.owner.frames.size() == count; }));
    ends.drive_briefly();
    REQUIRE(ends.owner.frames.size() == count);
    CHECK(ends.in_flight() == 0);  // it does not even receive
    if (count == 3) ends.owner.on_frame = {};
    ends.channel->go_on();
  }
  CHECK(ends.send(value_message(4, 100)));
  CHECK(ends.drive_until([&] { return ends.owner.frames.size() == 4; }));
  CHECK(ends.owner.ends.empty());
}
