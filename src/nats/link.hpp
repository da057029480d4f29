// Link: a TCP connection on the loop, with TLS or without: text in, text out. What its owner writes in one turn goes
// out in one operation at its end.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.hpp"
#include "leasepool/error.hpp"
#include "leasepool/stream.hpp"
#include "loop/deferred.hpp"
#include "loop/loop_client.hpp"
#include "loop/loop_core.hpp"
#include "loop/turn_end.hpp"
#include "nats/input_buffer.hpp"
#include "nats/tls.hpp"

namespace leasepool::detail::nats {

// Loop thread only, never inside a call of the link's. May close the link in each call.
class LinkOwner {
 public:
  // The socket is connected; or, asked for later, TLS stands.
  virtual void link_connected() = 0;
  virtual void link_secured() = 0;

  // Returns how many of these bytes it has taken; the rest comes again when there is more.
  virtual std::size_t link_received(std::string_view bytes) = 0;

  // Some of what was written has gone out.
  virtual void link_sent() = 0;

  // Nothing follows. The other end's close is end_of_stream.
  virtual void link_failed(const Error& error) = 0;

 protected:
  ~LinkOwner() = default;
};

// Loop thread only. Operations in flight keep it, and with it socket and buffers.
class Link final : public LoopClient, private TurnEnd, public std::enable_shared_from_this<Link> {
 public:
  Link(std::shared_ptr<LoopCore> loop, LinkOwner& owner);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() override;

  // Once. Fails later, if it does. Throws std::bad_alloc.
  void connect(const SocketAddress& address, TimePoint deadline);

  // What follows is encrypted. Nothing has been received or written beyond what was before.
  void start_tls(std::unique_ptr<TlsSession> session);

  // To append to, and then to flush_soon(). With TLS, once it is secured.
  [[nodiscard]] std::string& output() noexcept { return output_; }
  void flush_soon() noexcept { loop_->at_turn_end(*this); }
  [[nodiscard]] std::size_t unsent() const noexcept {
    return output_.size() - encrypted_ + sending_.size() - sent_of_sending_;
  }

  // The owner is not called any more. What was written goes out if the other end takes it within a second.
  void close() noexcept;
  // The same; it does not.
  void abort() noexcept;

  void loop_closing() noexcept override;

 private:
  void turn_ends(Engine& engine) noexcept override;
  void connected(Completion completion);
  void receive();
  void received(Completion completion);
  void take_in(std::size_t count);
  void decrypt(std::string_view received);
  bool shake_hands();
  void hand_over();
  void flush() noexcept;
  void prepare_output();
  void send();
  void send_at_once() noexcept;
  void sent(Completion completion);
  void fail(const Error& error) noexcept;
  void deliver_failure();
  void let_go() noexcept;

  const std::shared_ptr<LoopCore> loop_;
  LinkOwner* owner_;  // null once it is closed
  SocketAddress address_;
  UniqueFd socket_;
  InputBuffer input_;  // in the clear
  std::unique_ptr<char[]> encrypted_input_;
  std::unique_ptr<TlsSession> tls_;
  bool secured_ = false;
  std::string output_;         // in the clear
  std::size_t encrypted_ = 0;  // of that, with TLS: what has gone into `sending_`
  std::string sending_;        // the kernel reads it while a send is in flight
  std::size_t sent_of_sending_ = 0;
  OperationId connect_ = 0;
  OperationId receive_ = 0;
  OperationId send_ = 0;
  TimerId last_moment_ = 0;  // for what is left when it was closed
  bool closing_ = false;     // it goes when that is out
  bool let_go_ = false;
  std::optional<Error> failure_;
  DeferredMember<Link, &Link::deliver_failure> failed_;
};

}  // namespace leasepool::detail::nats
