// The parent's end of a channel through shared memory and a socket, with an input at the other end.
#include "wire/shared_channel.hpp"

#include <memory>
#include <string>
#include <utility>

#include "fuzz/hostile_end.hpp"
#include "fuzz/targets.hpp"
#include "shared/control_socket.hpp"

namespace leasepool::fuzz {

namespace shared_ring_target {
namespace {

using detail::ByteRing;
using detail::Bytes;
using detail::SharedChannel;

constexpr std::size_t kMaxPayload = 50'000;
constexpr std::size_t kMaxDeeds = 32;

class Owner final : public detail::ChannelOwner {
 public:
  void frame_received(const detail::Frame& frame) override {
    require(!ended, "nothing comes behind the end");
    require(frame.payload.size() <= kMaxPayload, "a payload has its bound");
    // As a channel reads it, so that a sanitizer does, too.
    for (const std::byte byte : frame.payload) sum += std::to_integer<unsigned>(byte);
    ids += static_cast<char>(frame.call_id);
  }
  void channel_ended(std::string_view violation) override {
    require(!std::exchange(ended, true), "a channel ends once");
    says = violation;
  }
  void descriptors_refused(std::uint64_t /*number*/, int /*error*/) override {}

  std::string ids;  // of what came, a byte each
  std::string says;
  unsigned sum = 0;
  bool ended = false;
};

struct Ends {
  Ends() {
    auto [ours, theirs] = detail::make_socket_pair(SOCK_STREAM);
    other.socket = std::move(theirs);
    other.calls = calls.get();
    other.outcomes = outcomes.get();
    channel = std::make_shared<SharedChannel>(loop, std::move(ours),
                                              detail::RingPair{.out = calls.get(), .in = outcomes.get()}, kMaxPayload,
                                              Duration{}, owner);
    channel->open();
    channel->expect(true);
  }
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;
  ~Ends() {
    channel->detach();
    other.socket.reset();
    require(turn_until(loop, [&] { return loop.engine().in_flight() == own_operations; }),
            "a detached channel has nothing in flight in the end");
  }

  // Nobody who is honest says more before this was heard.
  void greet() {
    detail::Bytes hello = detail::begin_frame();
    detail::finish_frame(hello, detail::FrameType::hello, 0, 0);
    other.say(hello, true);
    require(turn_until(loop, [&] { return !owner.ids.empty(); }), "a greeting is heard");
    owner.ids.clear();
  }

  // What the parent does of its own accord.
  void act(std::uint8_t deed, Input& input) {
    if (deed == 0) {
      Bytes frame = detail::begin_frame();
      frame.resize(detail::kFrameHeaderSize + input.number<std::uint16_t>());
      std::fill(frame.data(), frame.data() + frame.size(), std::byte{0});
      detail::finish_frame(frame, detail::FrameType::call, 1, 2);
      channel->queue(frame, {}, 1);
      channel->flush();
    } else if (deed == 1) {
      is_paused = !is_paused;
      is_paused ? channel->pause() : channel->go_on();
    } else if (deed == 2) {
      is_watched = !is_watched;
      channel->expect(is_watched);
    } else {
      turn(loop);
    }
  }

  detail::LoopCore& loop = *shared_loop();
  std::size_t own_operations = loop.engine().in_flight();
  std::unique_ptr<ByteRing> calls = std::make_unique<ByteRing>();
  std::unique_ptr<ByteRing> outcomes = std::make_unique<ByteRing>();
  Owner owner;
  std::shared_ptr<SharedChannel> channel;
  HostileEnd other;
  bool is_paused = false;
  bool is_watched = true;
};

void run(std::span<const std::byte> bytes) {
  Input input(bytes);
  Ends ends;
  const bool greets = input.number<std::uint8_t>() % 2 == 0;
  greets ? ends.greet() : void(ends.other.is_honest = false);
  for (std::size_t deeds = 0; deeds < kMaxDeeds && !input.empty(); ++deeds) {
    const auto deed = input.number<std::uint8_t>() % (HostileEnd::kDeeds + 4);
    deed < HostileEnd::kDeeds ? ends.other.act(static_cast<std::uint8_t>(deed), input)
                              : ends.act(static_cast<std::uint8_t>(deed - HostileEnd::kDeeds), input);
  }
  if (ends.is_paused) ends.channel->go_on();
  ends.other.socket.reset();
  require(turn_until(ends.loop, [&] { return ends.owner.ended; }), "the end of the other end is heard");
  if (!ends.other.is_honest || ends.owner.says == "it answered what it had not read") return;
  require(ends.owner.says.empty(), "who is honest breaks no protocol");
  require(ends.owner.ids == ends.other.said, "what who is honest says comes, in its order");
}

std::vector<Bytes> make_seeds() {
  std::vector<Bytes> seeds;
  const auto frame = [&seeds](std::uint8_t deed, std::uint8_t type, std::uint8_t id, std::string_view payload) {
    put_number(seeds.back(), deed);
    put_number(seeds.back(), static_cast<std::uint8_t>(type - 1));
    put_number(seeds.back(), id);
    put_number(seeds.back(), std::uint8_t{0});
    put_piece(seeds.back(), as_bytes(payload));
  };
  const auto parent = [&seeds](std::uint8_t deed) { put_number(seeds.back(), static_cast<std::uint8_t>(9 + deed)); };
  put_number(seeds.emplace_back(), std::uint8_t{0});
  frame(1, 3, 1, "a value");
  frame(2, 3, 2, "a value through the socket");
  frame(1, 4, 3, "an exception");
  parent(3);
  parent(0);
  put_number(seeds.back(), std::uint16_t{500});
  parent(0);
  put_number(seeds.back(), std::uint16_t{60'000});
  put_number(seeds.back(), std::uint8_t{0});
  put_number(seeds.emplace_back(), std::uint8_t{0});
  parent(1);
  frame(1, 3, 1, "while it is paused");
  parent(3);
  parent(1);
  for (const std::uint8_t lie : {std::uint8_t{5}, std::uint8_t{6}}) {
    put_number(seeds.emplace_back(), std::uint8_t{0});
    put_number(seeds.back(), lie);
    put_number(seeds.back(), std::int64_t{70'000});
    parent(3);
    parent(0);
    put_number(seeds.back(), std::uint16_t{60'000});
    parent(0);
    put_number(seeds.back(), std::uint16_t{60'000});
  }
  put_number(seeds.emplace_back(), std::uint8_t{1});
  frame(2, 1, 0, "");
  parent(3);
  frame(1, 3, 1, "a value");
  return seeds;
}

}  // namespace
}  // namespace shared_ring_target

constinit const Target kSharedRing{.name = "shared_ring",
                                   .max_size = 4096,
                                   .run = shared_ring_target::run,
                                   .make_seeds = shared_ring_target::make_seeds};

}  // namespace leasepool::fuzz
