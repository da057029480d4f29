// One answer to one question, to where managers of the cluster listen.
#include "remote/presence.hpp"

#include <new>
#include <utility>

#include "remote/frame.hpp"
#include "remote/info_body.hpp"
#include "remote/subjects.hpp"

namespace leasepool::detail::remote {

Presence::Presence(Scheduler& scheduler, nats::Bus& bus, const std::string& cluster, const std::string& pool,
                   std::uint64_t instance, Describe describe)
    : scheduler_(scheduler),
      bus_(bus),
      askers_(managers_prefix(cluster)),
      instance_(instance),
      describe_(std::move(describe)) {
  (void)bus_.subscribe(who_subject(cluster, pool), [this](const nats::BusMessage& message) { take(message); });
}

// What is beyond the rate costs no more than this look at it.
void Presence::take(const nats::BusMessage& message) {
  if (!message.reply.starts_with(askers_) || !rate_.allows(scheduler_.now())) return void(++refused_);
  try {
    MessageReader reader(message.payload);
    const auto frame = reader.next();
    if (reader.to() != 0 || !frame || frame->type != FrameType::who) return void(++refused_);
    Bytes body;
    put(body, describe_());
    MessageWriter answer(instance_, reader.from());
    answer.add({.type = FrameType::here, .lease = frame->lease, .body = body.view()});
    (void)bus_.publish(message.reply, answer.bytes());
  } catch (const DecodeError&) {
    ++refused_;
  } catch (const std::bad_alloc&) {
    ++refused_;
  }
}

}  // namespace leasepool::detail::remote
