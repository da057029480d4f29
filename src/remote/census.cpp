// A connection, one question, and what comes back until the wait is over.
#include "remote/census.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/in_words.hpp"
#include "remote/frame.hpp"
#include "remote/info_body.hpp"
#include "remote/subjects.hpp"

namespace leasepool::detail::remote {

Census::Census(std::shared_ptr<Scheduler> scheduler, const RemoteOptions& remote, Duration wait, std::uint64_t instance,
               std::function<void(Census&)> ended)
    : scheduler_(std::move(scheduler)),
      remote_(remote),
      wait_(wait),
      instance_(instance),
      address_(manager_prefix(remote.cluster, remote.user, instance) + "who"),
      ended_(std::move(ended)) {}

Census::~Census() { check(bus_ == nullptr, "who asks for nodes has ended before it is destroyed"); }

void Census::start(const MakeBus& make_bus, NodesCallback done) {
  done_ = std::make_unique<Notice<std::vector<NodeInfo>>>(std::move(done));
  timer_.keep();
  try {
    bus_ = make_bus(*this);
    (void)bus_->subscribe(address_, [this](const nats::BusMessage& message) { take(message); });
  } catch (...) {
    done_.reset();
    end();
    throw;
  }
  self_ = shared_from_this();
  set_timer(remote_.node_timeout);
}

// Also after a reconnect: the question may be lost.
void Census::bus_connected() {
  try {
    MessageWriter question(instance_, 0);
    question.add({.type = FrameType::who});
    (void)bus_->publish(who_subject(remote_.cluster, remote_.pool), question.bytes(), address_);
  } catch (const std::bad_alloc&) {
    return finish(std::unexpected(Error::out_of_memory()));
  }
  if (asked_) return;
  asked_ = scheduler_->now();
  set_timer(wait_);
}

void Census::bus_disconnected(const Error& reason) {
  try {
    last_problem_ = reason.message();
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): the one before it is told
  }
}

void Census::take(const nats::BusMessage& message) {
  if (message.no_responders) return finish(std::move(nodes_));
  if (nodes_.size() >= kMostNodes || bytes_ + message.payload.size() > kMostBytes) return;
  bytes_ += message.payload.size();
  try {
    MessageReader reader(message.payload);
    const auto frame = reader.next();
    if (reader.to() != instance_ || !frame || frame->type != FrameType::here) return;
    ByteReader body(frame->body);
    NodeInfo info = get_node_info(body);
    const bool is_known = std::ranges::any_of(
        nodes_, [&](const NodeInfo& node) { return node.instance == info.instance && node.name == info.name; });
    if (is_known) return;
    info.answered_in = scheduler_->now() - *asked_;
    nodes_.push_back(std::move(info));
  } catch (const DecodeError&) {  // NOLINT(bugprone-empty-catch): of somebody who is no node of this version
  } catch (const std::bad_alloc&) {
    finish(std::unexpected(Error::out_of_memory()));
  }
}

void Census::timer_came() {
  timer_.came();
  if (asked_) return finish(std::move(nodes_));
  finish(std::unexpected(Error::make(Errc::pool_broken, [this] {
    return "no server has taken in who asks for nodes within node_timeout = " + in_words(remote_.node_timeout) + ": " +
           (last_problem_.empty() ? "none of \"" + remote_.servers + "\" has answered" : last_problem_);
  })));
}

void Census::set_timer(Duration delay) noexcept {
  timer_.unset();
  timer_.set(deadline_after(scheduler_->now(), delay), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->timer_came();
  });
}

void Census::finish(Result<std::vector<NodeInfo>> result) noexcept {
  if (!done_) return;
  if (result) {
    std::ranges::sort(*result, {},
                      [](const NodeInfo& node) { return std::pair(std::string_view(node.name), node.instance); });
  }
  done_->set(std::move(result));
  scheduler_->defer(std::move(done_));
  end();
}

void Census::end() noexcept {
  const auto last_hold = std::move(self_);
  done_.reset();
  timer_.disarm();
  if (bus_) bus_->close();
  bus_.reset();
  ended_(*this);
}

}  // namespace leasepool::detail::remote
