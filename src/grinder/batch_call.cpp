// The end of a batch function's call: results handed out one by one, failures shared or narrowed down.
#include "leasepool/detail/batch_call.hpp"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "grinder/grinder_core.hpp"

namespace leasepool::detail {

void BatchCall::succeeded(WorkItems items) const {
  const auto core = grinder.lock();
  for (auto& item : items) {
    // One by one and later: a receiver that throws takes nothing from the others.
    core ? core->deliver(std::move(item)) : item->deliver();
  }
}

void BatchCall::failed(WorkItems items, const Error& error) const {
  const auto core = grinder.lock();
  if (core && function->options.isolate_failures && core->split(*this, items, error)) return;
  for (auto& item : items) item->fail(error);
  succeeded(std::move(items));
}

bool BatchCall::may_put_back(const WorkItems& items) const noexcept {
  const auto core = grinder.lock();
  return core && std::ranges::all_of(items, [&](const auto& item) { return core->may_put_back(*item->state); });
}

// Where there is no memory to put one back, it fails as the call did.
void BatchCall::put_back(WorkItems items, const Error& error) const noexcept {
  const auto core = grinder.lock();
  for (auto& item : items) {
    try {
      core->put_back(item);
    } catch (const std::bad_alloc&) {
      item->fail(error);
      core->deliver(std::move(item));
    }
  }
}

Error BatchCall::wrong_length(std::size_t items, std::size_t results) const noexcept {
  return Error::make(Errc::bad_payload, [&] {
    return "the batch function " + std::string(function->name()) + " returned " + std::to_string(results) +
           " results for " + std::to_string(items) + " items; it must return one for each, in their order";
  });
}

std::invalid_argument not_copyable(std::string_view type) {
  return std::invalid_argument(
      "leasepool: BatchOptions::isolate_failures calls a function again with the same arguments, and " +
      std::string(type) + " cannot be copied; leave it out, or take a type that can");
}

}  // namespace leasepool::detail
