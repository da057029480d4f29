// Access: the one door into the public classes. What they keep for the library itself is private, and they befriend
// nobody but this.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace leasepool::detail {

// For the library and its tests. What is said of the members called holds of these, too.
struct Access {
  // A public object of its parts.
  template <class Public, class... Parts>
  static Public make(Parts&&... parts) {
    return Public(std::forward<Parts>(parts)...);
  }

  // Of a Loop or a manager: what does its work; that of a manager may outlive it while leases do.
  template <class Public>
  static const auto& core(const Public& object) noexcept {
    return object.core_;
  }
  // Of a manager: its loop's core.
  template <class Manager>
  static const auto& loop(const Manager& manager) noexcept {
    return manager.loop_;
  }
  // Of an ExecutorLease; null of an empty one.
  template <class Lease>
  static const auto& record(const Lease& lease) noexcept {
    return lease.record_;
  }

  // Of LeaseCalls: the options and the stop token of its calls.
  template <class Calls>
  static const auto& call_settings(const Calls& calls) noexcept {
    return calls.settings_;
  }

  // One run of an Initializer that has a function.
  template <class Initializer>
  static auto make_job(const Initializer& initializer) {
    return initializer.make_();
  }

  // Of an Error: the same failure with other words, which may come from a function, or with what is known of it.
  template <class Error, class Message>
  static Error with_message(const Error& error, Message&& message) noexcept {
    return error.with_message(std::forward<Message>(message));
  }
  template <class Error>
  static Error of_system_call(int error, const std::string& what, std::size_t transferred) noexcept {
    return Error::of_system_call(error, what, transferred);
  }
  // No failure at all, for a place where there may be one; may only be destroyed, assigned to and asked.
  template <class Error>
  static Error make_no_error() noexcept {
    return Error(std::shared_ptr<const typename Error::State>());
  }
  template <class Error>
  static bool is_error(const Error& error) noexcept {
    return error.state_ != nullptr;
  }
  template <class Error, class Details>
  static Error with_details(const Error& error, Details&& details) noexcept {
    return error.with_details(std::forward<Details>(details));
  }

  // Of an Error: the same, of a call that has certainly not run.
  template <class Error>
  static Error not_run(const Error& error) noexcept {
    return error.not_run();
  }

  // Of the verbs of a grinder, for ItemVerbs.
  template <class Verbs>
  static const auto& grinder(const Verbs& verbs) noexcept {
    return verbs.grinder();
  }
  template <class Verbs>
  static const auto& settings(const Verbs& verbs) noexcept {
    return verbs.settings();
  }
  template <class Verbs, class... A>
  static void check_item(const Verbs& verbs, const char* verb, const A&... arguments) {
    verbs.check_item(verb, arguments...);
  }
  template <class Receiver, class Verbs, class State, class... A>
  static auto make_item(const Verbs& verbs, State state, A&&... arguments) {
    return verbs.template make_item<Receiver>(std::move(state), std::forward<A>(arguments)...);
  }
};

}  // namespace leasepool::detail
