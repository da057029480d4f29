// ItemVerbs: the verbs that submit an item, for all that have them.
#pragma once

#include <cstddef>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "leasepool/awaitable.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/callable.hpp"
#include "leasepool/detail/std_types.hpp"
#include "leasepool/detail/temporaries.hpp"
#include "leasepool/detail/work_item.hpp"
#include "leasepool/pending.hpp"

namespace leasepool::detail {

// Verbs has, for Access, check_item(verb, arguments...), make_item<Receiver>(state, arguments...), grinder() and
// settings(); OfCall<Arguments...> says of such an item what CallOf does of a call.
template <class Verbs, template <class...> class OfCall>
class ItemVerbs {  // NOLINT(bugprone-crtp-constructor-accessibility): CallVerbs stands between
 public:
  /// Awaitable of the result; the item is queued when awaited. Throws what the function threw, or LeasePoolError:
  /// not_started, queue_full, or what can befall a call on a lease. A coroutine destroyed while it waits detaches.
  template <class... A>
    requires PossibleCall<OfCall<A...>>
  // NOLINTNEXTLINE(cppcoreguidelines-missing-std-forward): they are, into the capture
  auto submit(A&&... arguments) const {
    check_grinder_thread(*Access::grinder(self()), "submit");
    auto start = [grinder = Access::grinder(self()), item = make_awaited("submit", std::forward<A>(arguments)...)](
                     AwaitReceiver<ResultOf<OfCall<A...>>> receiver) mutable {
      item->set_receiver(std::move(receiver));
      submit_item(grinder, std::move(item), WithoutRoom::fail);
    };
    return AwaitedWith<Awaitable<ResultOf<OfCall<A...>>, decltype(start)>, A...>(std::move(start));
  }

  /// The same with a callback(Result<R>) behind the arguments instead of a coroutine.
  template <class... Rest>
    requires PossibleCallAndCallback<OfCall, Rest...>
  void submit_async(Rest&&... arguments_and_callback) const {
    check_grinder_thread(*Access::grinder(self()), "submit_async");
    submit_with_callback("submit_async", WithoutRoom::fail, std::forward<Rest>(arguments_and_callback)...);
  }

  /// submit() that waits, in order, while max_pending items are queued, instead of failing with queue_full. A coroutine
  /// destroyed while it waits for room leaves the queue.
  template <class... A>
    requires PossibleCall<OfCall<A...>>
  // NOLINTNEXTLINE(cppcoreguidelines-missing-std-forward): they are, into the capture
  auto submit_when_room(A&&... arguments) const {
    check_grinder_thread(*Access::grinder(self()), "submit_when_room");
    auto start = [grinder = Access::grinder(self()),
                  item = make_awaited("submit_when_room", std::forward<A>(arguments)...)](
                     AwaitReceiver<ResultOf<OfCall<A...>>> receiver) mutable {
      item->set_receiver(std::move(receiver));
      RoomTicket ticket(item->state);
      submit_item(grinder, std::move(item), WithoutRoom::wait);
      return ticket;
    };
    return AwaitedWith<Awaitable<ResultOf<OfCall<A...>>, decltype(start)>, A...>(std::move(start));
  }
  template <class... Rest>
    requires PossibleCallAndCallback<OfCall, Rest...>
  void submit_when_room_async(Rest&&... arguments_and_callback) const {
    check_grinder_thread(*Access::grinder(self()), "submit_when_room_async");
    submit_with_callback("submit_when_room_async", WithoutRoom::wait, std::forward<Rest>(arguments_and_callback)...);
  }

  /// Queues the item now; returns a Pending, to be awaited later, cancelled, or dropped.
  template <class... A>
    requires PossibleCall<OfCall<A...>>
  auto enqueue(A&&... arguments) const {
    check_grinder_thread(*Access::grinder(self()), "enqueue");
    using R = ResultOf<OfCall<A...>>;
    auto outcome = std::make_shared<PendingOutcome<R>>();
    auto item = make<PendingReceiver<R>>("enqueue", std::forward<A>(arguments)...);
    item->set_receiver(PendingReceiver<R>(outcome));
    auto pending = Access::make<Pending<R>>(item->state, std::move(outcome));
    submit_item(Access::grinder(self()), std::move(item), WithoutRoom::fail);
    return pending;
  }

  /// A std::future of the result, for threads other than the loop's; on the loop's own it throws wrong_thread, as
  /// waiting there would never end.
  template <class... A>
    requires PossibleCall<OfCall<A...>>
  auto submit_from_thread(A&&... arguments) const {
    check_other_thread(*Access::grinder(self()), "submit_from_thread", "submit()");
    using R = ResultOf<OfCall<A...>>;
    PromiseReceiver<R> receiver;
    std::future<R> future = receiver.future();
    auto item = make<PromiseReceiver<R>>("submit_from_thread", std::forward<A>(arguments)...);
    item->set_receiver(std::move(receiver));
    submit_item_from_thread(Access::grinder(self()), std::move(item));
    return future;
  }

 private:
  [[nodiscard]] const Verbs& self() const noexcept { return static_cast<const Verbs&>(*this); }

  template <class Receiver, class... A>
  auto make(const char* verb, A&&... arguments) const {
    Access::check_item(self(), verb, arguments...);
    auto state = std::make_shared<ItemState>(Access::grinder(self()), Access::settings(self()));
    return Access::make_item<Receiver>(self(), std::move(state), std::forward<A>(arguments)...);
  }
  template <class... A>
  auto make_awaited(const char* verb, A&&... arguments) const {
    return make<AwaitReceiver<ResultOf<OfCall<A...>>>>(verb, std::forward<A>(arguments)...);
  }

  template <class... Rest>
  void submit_with_callback(const char* verb, WithoutRoom without_room, Rest&&... arguments_and_callback) const {
    auto rest = std::forward_as_tuple(std::forward<Rest>(arguments_and_callback)...);
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      using Callback = std::decay_t<std::tuple_element_t<sizeof...(I), std::tuple<Rest...>>>;
      check_callable(verb, "callback", std::get<sizeof...(I)>(rest));
      auto item = make<Callback>(verb, std::get<I>(std::move(rest))...);
      // NOLINTNEXTLINE(bugprone-use-after-move): each get() moves one element
      item->set_receiver(Callback(std::get<sizeof...(I)>(std::move(rest))));
      submit_item(Access::grinder(self()), std::move(item), without_room);
    }(std::make_index_sequence<sizeof...(Rest) - 1>());
  }
};

}  // namespace leasepool::detail
