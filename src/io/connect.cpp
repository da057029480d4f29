// connect(): a socket that is being connected, and the Stream that becomes of it.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <new>
#include <optional>
#include <utility>

#include "base/unique_fd.hpp"
#include "io/io_checks.hpp"
#include "io/socket_address.hpp"
#include "io/stream_core.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/stream.hpp"
#include "loop/deferred.hpp"
#include "loop/loop_client.hpp"

namespace leasepool::detail {

namespace {

// Lives until its operation has completed; whoever waits may be gone before.
class Connecting final : public IoOwner, public LoopClient, public std::enable_shared_from_this<Connecting> {
 public:
  Connecting(std::shared_ptr<LoopCore> loop, const SocketAddress& address, IoOptions options, IoCallback<Stream> done)
      : loop_(std::move(loop)), address_(address), options_(options), done_(std::move(done)) {}

  void begin();
  void cancel_wait(std::uint64_t wait) noexcept override;
  void loop_closing() noexcept override { cancel_wait(0); }

 private:
  void completed(Completion completion);
  [[nodiscard]] std::string what() const noexcept {
    return in_words_if_room([this] { return "connect to " + to_address(address_).text(); });
  }
  void end(Result<Stream> result) noexcept;
  void deliver();

  const std::shared_ptr<LoopCore> loop_;
  SocketAddress address_;
  const IoOptions options_;
  UniqueFd socket_;
  OperationId operation_ = 0;
  IoCallback<Stream> done_;  // null once nobody waits
  std::optional<Result<Stream>> result_;
  DeferredMember<Connecting, &Connecting::deliver> delivery_;
};

void Connecting::begin() {
  loop_->attach(*this);
  socket_ = try_above_standard_streams(
      UniqueFd(::socket(family_of(address_), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)));
  if (!socket_) return end(std::unexpected(failed_call(errno, what())));
  const int on = 1;
  if (family_of(address_) != AF_UNIX) (void)::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  try {
    operation_ = loop_->engine().start(
        {.kind = Operation::Kind::connect, .fd = socket_.get(), .data = address_.bytes, .size = address_.size},
        [self = shared_from_this()](Completion completion) { self->completed(completion); },
        deadline_after(loop_->now(), options_.timeout));
  } catch (const std::bad_alloc&) {
    end(std::unexpected(Error::out_of_memory()));
  }
}

void Connecting::completed(Completion completion) {
  operation_ = 0;
  if (!done_) return;
  if (completion.result < 0) {
    return end(std::unexpected(completion.timed_out ? timed_out(what(), options_.timeout)
                                                    : failed_call(-completion.result, what())));
  }
  try {
    end(Access::make<Stream>(StreamCore::make(loop_, std::move(socket_), to_address(address_).text())));
  } catch (const std::bad_alloc&) {
    end(std::unexpected(Error::out_of_memory()));
  }
}

void Connecting::cancel_wait(std::uint64_t /*the only one*/) noexcept {
  loop_->detach(*this);
  done_ = nullptr;
  result_.reset();
  if (operation_ != 0) loop_->engine().cancel(operation_);
}

void Connecting::end(Result<Stream> result) noexcept {
  loop_->detach(*this);
  result_.emplace(std::move(result));
  if (auto queued = delivery_.to_queue(shared_from_this())) loop_->defer(std::move(queued));
}

void Connecting::deliver() {
  if (!result_) return;
  auto done = std::exchange(done_, nullptr);
  Result<Stream> result = *std::move(result_);
  result_.reset();
  done(std::move(result));
}

}  // namespace

void check_connect(const Loop& loop, const IoOptions& options) {
  check_verb(*Access::core(loop), "connect", options.timeout);
}

IoTicket begin_connect(Loop& loop, const SocketAddress& address, IoOptions options, IoCallback<Stream> done) {
  check_connect(loop, options);
  const auto connecting = std::make_shared<Connecting>(Access::core(loop), address, options, std::move(done));
  connecting->begin();
  return {connecting, 0};
}

namespace {

void connect_later(Loop& loop, const SocketAddress& address, IoOptions options, IoCallback<Stream> done) {
  check_verb(*Access::core(loop), "connect_async", options.timeout);
  check_io_callback("connect_async", done);
  std::make_shared<Connecting>(Access::core(loop), address, options, std::move(done))->begin();
}

}  // namespace

}  // namespace leasepool::detail

namespace leasepool {

void connect_async(Loop& loop, Endpoint endpoint, IoOptions options, detail::IoCallback<Stream> done) {
  detail::connect_later(loop, detail::SocketAddress("connect_async", endpoint), options, std::move(done));
}

void connect_async(Loop& loop, UnixEndpoint endpoint, IoOptions options, detail::IoCallback<Stream> done) {
  detail::connect_later(loop, detail::SocketAddress("connect_async", endpoint), options, std::move(done));
}

}  // namespace leasepool
