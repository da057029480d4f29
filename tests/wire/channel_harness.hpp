// What the tests of Channel share: an owner that notes everything, and a loop that is driven until something holds.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "leasepool/detail/access.hpp"
#include "leasepool/loop.hpp"
#include "loop/loop_core.hpp"
#include "support/socket_pair.hpp"
#include "wire/channel.hpp"
#include "wire/frames.hpp"

namespace leasepool::test {

// Notes what a channel hands over, and may do something in the middle of it.
class NotingOwner final : public detail::ChannelOwner {
 public:
  void frame_received(const detail::Frame& frame) override {
    frames.push_back(to_message(frame));
    if (on_frame) on_frame();
  }
  void channel_ended(std::string_view violation) override {
    ends.emplace_back(violation);
    if (on_end) on_end();
  }
  void descriptors_refused(std::uint64_t /*number*/, int error) override { refusals.push_back(error); }
  std::vector<Message> frames;
  std::vector<std::string> ends;  // one for each call: there must be at most one
  std::vector<int> refusals;
  std::function<void()> on_frame;
  std::function<void()> on_end;
};

// A loop with a channel on one end of a socket pair; the test has the other end.
struct ChannelHarness {
  explicit ChannelHarness(std::size_t max_payload = std::size_t{16} << 20) {
    channel = std::make_shared<detail::Channel>(core(), std::move(sockets.ours), max_payload, owner);
  }
  ChannelHarness(const ChannelHarness&) = delete;
  ChannelHarness& operator=(const ChannelHarness&) = delete;
  ~ChannelHarness() {
    if (channel) channel->detach();
    (void)drive_until([this] { return in_flight() == 0; });
  }

  [[nodiscard]] detail::LoopCore& core() { return *leasepool::detail::Access::core(loop); }
  // Operations of the channels: all but the loop's own doorbell.
  [[nodiscard]] std::size_t in_flight() { return core().engine().in_flight() - own_operations; }
  // Handles completions until it holds; false when it takes absurdly long.
  [[nodiscard]] bool drive_until(const std::function<bool()>& holds) {
    return core().run_completions_until(holds, core().now() + std::chrono::seconds(60));
  }
  // Handles what is there already.
  void drive_briefly() {
    (void)core().run_completions_until([] { return false; }, core().now() + std::chrono::milliseconds(20));
  }
  [[nodiscard]] bool send(const Message& message) const {
    return send_all(sockets.theirs.get(), encode(message).view());
  }

  Loop loop;
  std::size_t own_operations = leasepool::detail::Access::core(loop)->engine().in_flight();
  SocketPair sockets;
  NotingOwner owner;
  std::shared_ptr<detail::Channel> channel;
};

constexpr std::size_t kLarge = std::size_t{8} << 20;

inline Message value_message(std::uint64_t call_id, std::size_t size) {
  return {.type = detail::FrameType::value,
          .call_id = call_id,
          .function_id = 0,
          .payload = pattern(size, static_cast<std::uint32_t>(call_id))};
}

}  // namespace leasepool::test
