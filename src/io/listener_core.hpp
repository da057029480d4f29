// ListenerCore: a socket that listens, and one operation that takes its connections for all who wait.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "base/unique_fd.hpp"
#include "io/socket_file.hpp"
#include "io/wait_queue.hpp"
#include "leasepool/detail/io_wait.hpp"
#include "leasepool/stream.hpp"
#include "loop/deferred.hpp"
#include "loop/kept_timer.hpp"
#include "loop/loop_client.hpp"

namespace leasepool::detail {

// Loop thread only. Lives until its listener is gone and its operation has completed.
class ListenerCore final : public IoOwner, public LoopClient, public std::enable_shared_from_this<ListenerCore> {
 public:
  // Takes over a socket that listens; Its file goes when it is closed. Throws std::bad_alloc, std::system_error.
  static std::shared_ptr<ListenerCore> make(std::shared_ptr<LoopCore> loop, UniqueFd fd, SocketFile file = {});
  ListenerCore(std::shared_ptr<LoopCore> loop, UniqueFd fd, const Address& address, SocketFile file);

  ListenerCore(const ListenerCore&) = delete;
  ListenerCore& operator=(const ListenerCore&) = delete;
  ~ListenerCore() override { pause_.disarm(); }

  // Returns the number of the wait. Throws std::bad_alloc.
  std::uint64_t accept(IoOptions options, IoCallback<Stream> done);
  void cancel_wait(std::uint64_t wait) noexcept override;
  void loop_closing() noexcept override { close(); }
  void close() noexcept;

  void check(const char* verb, const IoOptions& options) const;
  [[nodiscard]] LoopCore& loop() const noexcept { return *loop_; }
  [[nodiscard]] int fd() const noexcept { return closed_ ? -1 : fd_.get(); }

 private:
  // That were taken and nobody waits for: more wait in the system's queue.
  static constexpr std::size_t kMaxKept = 16;
  static constexpr Duration kPauseWithoutDescriptors = std::chrono::milliseconds(100);

  void go_on() noexcept;
  void completed(Completion completion);
  void take(UniqueFd connection) noexcept;
  void failed(int error) noexcept;
  void pause() noexcept;
  void deliver();
  void deliver_later() noexcept;

  const std::shared_ptr<LoopCore> loop_;
  UniqueFd fd_;
  SocketFile file_;
  const std::string what_;  // "accept on 127.0.0.1:80"
  const bool is_tcp_;
  bool closed_ = false;
  bool multishot_ = true;  // until the kernel says that it does not know it
  OperationId operation_ = 0;
  std::uint64_t last_wait_ = 0;
  WaitQueue<Stream> waiters_;
  std::deque<Stream> kept_;
  KeptTimer pause_;
  DeferredMember<ListenerCore, &ListenerCore::deliver> delivery_;
};

}  // namespace leasepool::detail
