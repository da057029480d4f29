// Tests of letting go of a channel at every point: nothing stays in flight, nobody is called, the socket is closed.
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"
#include "support/sanitized.hpp"
#include "support/skip.hpp"
#include "wire/channel_harness.hpp"

using leasepool::detail::Bytes;
using leasepool::detail::Channel;
using leasepool::detail::UniqueFd;
using leasepool::test::ChannelHarness;
using leasepool::test::encode;
using leasepool::test::eventually;
using leasepool::test::kLarge;
using leasepool::test::kSanitized;
using leasepool::test::Message;
using leasepool::test::open_descriptors;
using leasepool::test::receive;
using leasepool::test::send_all;
using leasepool::test::value_message;

TEST_CASE("letting go of a channel in the middle of anything leaves nothing in flight and closes the socket",
          "[channel]") {
  ChannelHarness harness;
  const auto before = open_descriptors();
  const std::weak_ptr<Channel> watched = harness.channel;
  harness.channel->open();

  SECTION("while it only waits") {}
  SECTION("in the middle of a large send") {
    harness.channel->send(encode(value_message(1, kLarge)));
    harness.channel->send(encode(value_message(2, kLarge)));
    harness.drive_briefly();
    REQUIRE(harness.in_flight() == 2);
  }
  SECTION("in the middle of a large receive") {
    const Bytes frame = encode(value_message(1, kLarge));
    REQUIRE(send_all(harness.sockets.theirs.get(), frame.view().first(100'000)));
    harness.drive_briefly();
  }
  SECTION("before the kernel knows of its operations") { harness.channel->send(encode(value_message(1, kLarge))); }
  SECTION("with a frame that has come and was not looked at") { REQUIRE(harness.send(value_message(1, 10))); }

  harness.channel->detach();
  harness.channel.reset();
  REQUIRE(harness.drive_until([&] { return harness.in_flight() == 0; }));
  CHECK(watched.expired());
  CHECK(eventually([&] { return open_descriptors().size() == before.size() - 1; }));
  CHECK(harness.owner.frames.empty());
  CHECK(harness.owner.ends.empty());
  // The other end hears of it, after whatever was sent.
  const std::vector<std::byte> rest = receive(harness.sockets.theirs.get(), 2 * kLarge);
  CHECK(rest.size() < 2 * kLarge);
}

TEST_CASE("an owner may detach from inside of a call, and is not called again", "[channel]") {
  ChannelHarness harness;
  Bytes stream;
  for (std::uint64_t i = 0; i < 5; ++i) stream.append(encode(value_message(i, 10)).view());
  std::size_t frames = 0;
  std::size_t ends = 0;
  const auto detach = [&] {
    harness.channel->detach();
    harness.channel.reset();
  };
  SECTION("of a frame, with others behind it") {
    harness.owner.on_frame = detach;
    frames = 1;
  }
  SECTION("of the last frame") {
    harness.owner.on_frame = [&] {
      if (harness.owner.frames.size() == 5) detach();
    };
    frames = 5;
  }
  SECTION("of the end") {
    harness.owner.on_end = detach;
    frames = 5;
    ends = 1;
  }
  SECTION("of the end by a violation") {
    stream.append(leasepool::test::pattern(64));
    harness.owner.on_end = detach;
    frames = 5;
    ends = 1;
  }
  REQUIRE(send_all(harness.sockets.theirs.get(), stream.view()));
  harness.sockets.theirs.reset();
  harness.channel->open();
  REQUIRE(harness.drive_until([&] { return harness.in_flight() == 0; }));
  CHECK_FALSE(harness.channel);
  CHECK(harness.owner.frames.size() == frames);
  CHECK(harness.owner.ends.size() == ends);
}

TEST_CASE("an owner may send from inside of a frame", "[channel]") {
  ChannelHarness harness;
  harness.channel->open();
  harness.owner.on_frame = [&] { harness.channel->send(encode(harness.owner.frames.back())); };
  const std::vector<Message> messages{value_message(1, 10), value_message(2, 50'000)};
  Bytes stream;
  for (const Message& message : messages) stream.append(encode(message).view());
  REQUIRE(send_all(harness.sockets.theirs.get(), stream.view()));
  REQUIRE(harness.drive_until([&] { return harness.owner.frames.size() == 2 && harness.in_flight() == 1; }));
  leasepool::detail::FrameDecoder decoder(1 << 20);
  CHECK(leasepool::test::decode(decoder, receive(harness.sockets.theirs.get(), stream.size())) == messages);
}

TEST_CASE("a finished channel hands over what has come and then ends, though others hold the other end", "[channel]") {
  ChannelHarness harness;
  const UniqueFd third_party(::dup(harness.sockets.theirs.get()));
  harness.channel->open();
  const std::vector<Message> messages{value_message(1, 10), value_message(2, 60'000), value_message(3, 10)};
  for (const Message& message : messages) REQUIRE(harness.send(message));
  harness.sockets.theirs.reset();
  harness.drive_briefly();
  CHECK(harness.owner.ends.empty());

  REQUIRE(send_all(third_party.get(), encode(value_message(4, 10)).view()));
  harness.channel->finish();
  REQUIRE(harness.drive_until([&] { return !harness.owner.ends.empty(); }));
  CHECK(harness.owner.frames.size() == 4);
  CHECK(harness.owner.ends == std::vector<std::string>{""});
  CHECK(harness.in_flight() == 0);
  CHECK_FALSE(send_all(third_party.get(), encode(value_message(5, 10)).view()));
}

TEST_CASE("finishing twice, or after the end, does nothing more", "[channel]") {
  ChannelHarness harness;
  harness.channel->open();
  harness.channel->finish();
  harness.channel->finish();
  REQUIRE(harness.drive_until([&] { return !harness.owner.ends.empty(); }));
  harness.channel->finish();
  harness.drive_briefly();
  CHECK(harness.owner.ends.size() == 1);
}

TEST_CASE("a frame for which there is no memory ends the channel, not the loop", "[channel]") {
  if (kSanitized) return leasepool::test::skip("a sanitizer's allocator ends the program instead");
  ChannelHarness harness(SIZE_MAX / 4);
  Bytes frame = encode(value_message(1, 0));
  const std::uint64_t length = SIZE_MAX / 8;
  std::memcpy(frame.data() + 8, &length, sizeof length);
  harness.channel->open();
  REQUIRE(send_all(harness.sockets.theirs.get(), frame.view()));
  REQUIRE(harness.drive_until([&] { return !harness.owner.ends.empty(); }));
  REQUIRE(harness.owner.ends.size() == 1);
  CHECK_THAT(harness.owner.ends[0], ContainsSubstring("memory"));
  CHECK(harness.in_flight() == 0);
}
