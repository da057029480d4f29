// The registry of functions: filled by static initializers, those of libraries that are loaded later included, while
// any thread may look functions up. What is looked up is therefore never taken apart: nodes are added to chains, and
// used again for the same name or address.
#include "shared/registry.hpp"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "shared/build_id.hpp"
#include "shared/symbols.hpp"

namespace leasepool::detail {

namespace {

struct KnownFunction : RegisteredFunction {
  explicit KnownFunction(std::string_view function) : text(function) { name = text; }

  [[nodiscard]] bool is_live() const noexcept { return address.load() != nullptr; }

  const std::string text;
  Registration* registrations = nullptr;
  KnownFunction* next = nullptr;
};

// Where a function is, or was.
struct KnownAddress {
  FunctionAddress address = nullptr;
  std::atomic<KnownFunction*> function{nullptr};
  KnownAddress* next = nullptr;
};

}  // namespace

// Never destroyed: static objects of the program may still make calls when this library's would be gone.
class Registry {
 public:
  void add(Registration& registration);
  void remove(Registration& registration) noexcept;
  void note_lack_of_memory() noexcept { lacked_memory_.store(true); }
  void check();

  [[nodiscard]] KnownFunction* last_at(FunctionAddress address) const noexcept;
  [[nodiscard]] const KnownFunction* at(FunctionAddress address) const noexcept;
  [[nodiscard]] const KnownFunction* behind_entry(FunctionAddress address) const noexcept;
  [[nodiscard]] const KnownFunction* with_id(FunctionId id) const noexcept;
  [[nodiscard]] CallFrame frame_in_call(std::string_view function, FunctionAddress begin) const noexcept;

  template <class Action>
  void for_each_live(const Action& action) const {
    for (const auto& chain : functions_) {
      for (const KnownFunction* known = chain.load(); known != nullptr; known = known->next) {
        if (known->is_live()) action(*known);
      }
    }
  }

  std::atomic<bool> carries_descriptors{false};

 private:
  static constexpr std::size_t kBuckets = 1024;
  template <class Node>
  using Chain = std::atomic<Node*>;

  // Several functions of one name differ in the lower half.
  static std::size_t bucket(FunctionId id) noexcept { return (id >> 32U) % kBuckets; }
  static std::size_t bucket(FunctionAddress address) noexcept {
    return (reinterpret_cast<std::uintptr_t>(address) >> 4U) % kBuckets;
  }
  template <class Node>
  static void push(Chain<Node>& chain, std::unique_ptr<Node> node) noexcept {
    node->next = chain.load();
    chain.store(node.release());
  }
  [[nodiscard]] KnownAddress* find(FunctionAddress address) const noexcept;
  static void take_from(KnownFunction& known, const FunctionDescription& function) noexcept;
  static bool share_a_place(const KnownFunction& left, const KnownFunction& right) noexcept;
  static std::string place(const KnownFunction& function);
  void check(const KnownFunction& function) const;

  std::mutex mutex_;  // held by whoever changes something
  std::array<Chain<KnownFunction>, kBuckets> functions_{};
  std::array<Chain<KnownAddress>, kBuckets> addresses_{};
  std::atomic<bool> lacked_memory_{false};
  std::atomic<bool> exiting_{false};
  bool has_workers_ = false;
};
static_assert(std::is_trivially_destructible_v<Registry>);

namespace {

Registry& registry() noexcept {
  static constinit Registry the_registry;
  return the_registry;
}

}  // namespace

KnownAddress* Registry::find(FunctionAddress address) const noexcept {
  KnownAddress* known = addresses_[bucket(address)].load();
  while (known != nullptr && known->address != address) known = known->next;
  return known;
}

KnownFunction* Registry::last_at(FunctionAddress address) const noexcept {
  const KnownAddress* const known = find(address);
  return known == nullptr ? nullptr : known->function.load();
}

const KnownFunction* Registry::at(FunctionAddress address) const noexcept {
  const KnownFunction* const known = last_at(address);
  return known != nullptr && known->address.load() == address ? known : nullptr;
}

const KnownFunction* Registry::with_id(FunctionId id) const noexcept {
  for (const KnownFunction* known = functions_[bucket(id)].load(); known != nullptr; known = known->next) {
    if (known->id.load() == id && known->is_live()) return known;
  }
  return nullptr;
}

// A program that is not position-independent has an entry of its own for a library's function, which is the function's
// address for all but a library that was linked with -Bsymbolic. The entry has the function's symbol.
const KnownFunction* Registry::behind_entry(FunctionAddress address) const noexcept {
  Dl_info entry{};
  void* found = nullptr;
  if (::dladdr1(reinterpret_cast<void*>(address), &entry, &found, RTLD_DL_SYMENT) == 0 || found == nullptr)
    return nullptr;
  if (static_cast<const ElfW(Sym)*>(found)->st_shndx != SHN_UNDEF ||
      entry.dli_saddr != reinterpret_cast<void*>(address))
    return nullptr;
  const std::string_view symbol = entry.dli_sname;
  for (const auto& chain : functions_) {
    for (const KnownFunction* known = chain.load(); known != nullptr; known = known->next) {
      const std::string_view name = known->name;
      void* const own_address = reinterpret_cast<void*>(known->address.load());
      if (own_address == nullptr || !symbol.contains(name.substr(name.rfind(':') + 1))) continue;
      Dl_info own{};
      if (::dladdr(own_address, &own) != 0 && own.dli_saddr == own_address && own.dli_sname == symbol) return known;
    }
  }
  return nullptr;
}

CallFrame Registry::frame_in_call(std::string_view function, FunctionAddress begin) const noexcept {
  for (const KnownFunction* known = functions_[bucket(function_id(function))].load(); known != nullptr;
       known = known->next) {
    if (known->name != function || begin == nullptr) continue;
    if (known->caller.load() == begin) return CallFrame::caller;
    if (known->address.load() == begin) return CallFrame::function;
  }
  return CallFrame::other;
}

void Registry::take_from(KnownFunction& known, const FunctionDescription& function) noexcept {
  known.invoke.store(function.invoke);
  known.caller.store(function.caller);
  known.signature.store(function.signature);
}

void Registry::add(Registration& registration) {
  const FunctionDescription& function = registration.function_;
  const FunctionId id = function_id(function.name);
  const std::lock_guard lock(mutex_);
  Chain<KnownFunction>& chain = functions_[bucket(id)];
  KnownFunction* known = nullptr;
  FunctionId copies = 0;  // those that are gone included, which workers may have
  bool any_live = false;
  for (KnownFunction* same = chain.load(); same != nullptr; same = same->next) {
    if (same->name != function.name) continue;
    if (same->address.load() == function.address) {
      registration.next_ = std::exchange(same->registrations, &registration);
      return;
    }
    if (!same->is_live()) known = same;
    any_live = any_live || same->is_live();
    copies = std::max(copies, (same->id.load() ^ id) + 1);
  }
  auto new_function = known == nullptr ? std::make_unique<KnownFunction>(function.name) : nullptr;
  KnownAddress* there = find(function.address);
  auto new_address = there == nullptr ? std::make_unique<KnownAddress>() : nullptr;

  if (new_function) known = new_function.get();
  known->id.store(any_live || has_workers_ ? id ^ copies : id);
  take_from(*known, function);
  known->registrations = &registration;
  known->address.store(function.address);
  if (new_function) push(chain, std::move(new_function));
  if (new_address) {
    there = new_address.get();
    there->address = function.address;
    push(addresses_[bucket(function.address)], std::move(new_address));
  }
  there->function.store(known);
}

void Registry::remove(Registration& registration) noexcept {
  const std::lock_guard lock(mutex_);
  for (KnownFunction* known = functions_[bucket(function_id(registration.function_.name))].load(); known != nullptr;
       known = known->next) {
    for (Registration** link = &known->registrations; *link != nullptr; link = &(*link)->next_) {
      if (*link != &registration) continue;
      *link = registration.next_;
      if (known->registrations != nullptr) {
        take_from(*known, known->registrations->function_);  // the other's code may be gone
      } else if (!exiting_.load()) {
        known->address.store(nullptr);
      }
      return;
    }
  }
}

// A function in a header is registered at one place and may have several addresses: in libraries that do not share it,
// or because it is static.
bool Registry::share_a_place(const KnownFunction& left, const KnownFunction& right) noexcept {
  for (const Registration* ours = left.registrations; ours != nullptr; ours = ours->next_) {
    for (const Registration* theirs = right.registrations; theirs != nullptr; theirs = theirs->next_) {
      const std::source_location& here = ours->function_.where;
      const std::source_location& there = theirs->function_.where;
      if (here.line() == there.line() && std::strcmp(here.file_name(), there.file_name()) == 0) return true;
    }
  }
  return false;
}

std::string Registry::place(const KnownFunction& function) {
  if (function.registrations == nullptr) return function.text;
  const std::source_location& where = function.registrations->function_.where;
  return function.text + " (" + where.file_name() + ":" + std::to_string(where.line()) + ")";
}

void Registry::check(const KnownFunction& function) const {
  for (const KnownFunction* other = function.next; other != nullptr; other = other->next) {
    if (!other->is_live()) continue;
    const bool same_name = other->name == function.name;
    if (same_name ? share_a_place(function, *other) : other->id.load() != function.id.load()) continue;
    throw LeasePoolError(Errc::unregistered_function,
                         "leasepool: two registered functions have the same id: " + place(*other) + " and " +
                             place(function) + "; rename one, or put it into a namespace");
  }
  const KnownFunction* const other = last_at(function.address.load());
  if (other == &function) return;
  throw LeasePoolError(Errc::unregistered_function,
                       "leasepool: two registered functions have the same address: " + place(function) + " and " +
                           place(*other) +
                           "; the linker has made one of them because their code is equal: link with --icf=safe "
                           "instead of --icf=all (of an alias, register one name)");
}

void Registry::check() {
  if (lacked_memory_.load()) throw std::bad_alloc();
  const std::lock_guard lock(mutex_);
  for (const auto& chain : functions_) {
    for (const KnownFunction* known = chain.load(); known != nullptr; known = known->next) {
      if (known->is_live()) check(*known);
    }
  }
  // At the program's end its functions stay: other static objects may still make calls.
  if (!std::exchange(has_workers_, true)) std::atexit([] { registry().exiting_.store(true); });
}

Registration::Registration(const FunctionDescription& function) noexcept : function_(function) {
  try {
    registry().add(*this);
  } catch (const std::bad_alloc&) {
    registry().note_lack_of_memory();
  }
}

Registration::~Registration() { registry().remove(*this); }

bool note_descriptors() {
  registry().carries_descriptors.store(true);
  return true;
}

bool carries_descriptors() { return registry().carries_descriptors.load(std::memory_order_relaxed); }

const RegisteredFunction* find_function(FunctionAddress address) noexcept {
  const KnownFunction* const known = registry().at(address);
  return known != nullptr ? known : registry().behind_entry(address);
}

const RegisteredFunction* last_function(FunctionAddress address) noexcept { return registry().last_at(address); }

const RegisteredFunction* find_function_by_id(FunctionId id) noexcept { return registry().with_id(id); }

CallFrame frame_in_call(std::string_view function, FunctionAddress begin) noexcept {
  return registry().frame_in_call(function, begin);
}

// The order of the chains is that of their making, which may differ.
std::uint64_t catalogue_hash() noexcept {
  std::uint64_t hash = 0;
  registry().for_each_live([&](const KnownFunction& known) {
    constexpr std::uint64_t kMix = 0x9e3779b97f4a7c15U;
    const std::uint64_t mixed = (known.id.load() ^ std::rotl(known.signature.load() * kMix, 31)) * kMix;
    hash += mixed ^ (mixed >> 29U);
  });
  return hash;
}

std::uint64_t functions_build() noexcept {
  try {
    std::vector<std::uintptr_t> functions;
    registry().for_each_live([&](const KnownFunction& known) {
      functions.push_back(reinterpret_cast<std::uintptr_t>(known.address.load()));
    });
    return build_of(functions);
  } catch (const std::bad_alloc&) {
    return 0;
  }
}

std::vector<std::string> function_names() {
  std::vector<std::string> names;
  registry().for_each_live([&](const KnownFunction& known) { names.emplace_back(known.name); });
  std::ranges::sort(names);
  return names;
}

void check_registry() { registry().check(); }

}  // namespace leasepool::detail
