// What a call keeps of its function and its arguments, for how long, and what the function is given: as std::async has
// it.
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "grinder_support.hpp"
#include "support.hpp"

namespace {

// Knows whether it lives, also for what looks at it.
class Source {
 public:
  Source() : living_(std::make_shared<bool>(true)) {}
  Source(const Source&) : Source() {}
  Source(Source&& other) noexcept : living_(std::exchange(other.living_, nullptr)) {}
  Source& operator=(const Source&) = delete;
  Source& operator=(Source&&) = delete;
  ~Source() {
    if (living_) *living_ = false;
  }
  [[nodiscard]] const std::shared_ptr<bool>& living() const { return living_; }

 private:
  std::shared_ptr<bool> living_;
};
struct SourceView {
  SourceView(const Source& source) : living(source.living()) {}  // NOLINT(google-explicit-constructor): as views do
  std::shared_ptr<bool> living;
};
bool looks_at_living(SourceView view) { return *view.living; }
bool looks_at_living_also(const SourceView& view) { return *view.living; }

struct Animal {
  Animal() = default;
  Animal(const Animal&) = default;
  Animal& operator=(const Animal&) = default;
  virtual ~Animal() = default;
  [[nodiscard]] virtual std::string says() const = 0;
};
struct Dog final : Animal {
  [[nodiscard]] std::string says() const override { return "woof"; }
  [[nodiscard]] std::string says_to(const std::string& whom) const { return "woof, " + whom; }
  std::string name = "Rex";
};
std::string speak(const Animal& animal) { return animal.says(); }

const int* address_of(const int& value) { return &value; }
int grow(std::vector<int>& values, int value) {
  values.push_back(value);
  return static_cast<int>(values.size());
}
std::size_t count_x(std::string_view text) { return static_cast<std::size_t>(std::ranges::count(text, 'x')); }
int sum(std::span<const int> values) {
  int all = 0;
  for (const int value : values) all += value;
  return all;
}
std::string file_name(const std::filesystem::path& path) { return path.filename(); }
std::string given(std::string text) { return text; }
LEASEPOOL_REGISTER(given);
template <class A, class B>
A first_of(A first, B /*second*/) {
  return first;
}
LEASEPOOL_REGISTER(first_of<int, long>);
int call_it(const std::function<int(int)>& function) { return function(3); }
int sum_of_c(int count, ...) { return count; }  // NOLINT(cert-dcl50-cpp): there are such functions

struct CalledOnce {
  std::unique_ptr<int> value;
  int operator()() && { return *std::exchange(value, nullptr); }
};

// Runs `body(loop, lease)` with a lease of a pool.
template <class Body>
void on_lease(ExecutorBackend backend, Body body) {
  on_manager(options_for(backend, 1, 1), [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    const auto lease = co_await manager.acquire();
    co_await body(loop, lease);
  });
}

}  // namespace

TEST_CASE("E1: an argument is kept for the whole call, whatever looks at it", "[E1]") {
  on_lease(ExecutorBackend::thread, [](lp::Loop& loop, const lp::ExecutorLease& lease) -> lp::Task<> {
    auto named = lease.run(looks_at_living, Source());
    const bool lived_for_named = co_await named;
    CHECK(lived_for_named);
    auto by_reference = lease.run(looks_at_living_also, Source());
    const bool lived_for_reference = co_await by_reference;
    CHECK(lived_for_reference);
    auto of_lambda = lease.run([](SourceView view) { return *view.living; }, Source());
    const bool lived_for_lambda = co_await of_lambda;
    CHECK(lived_for_lambda);
    auto counted = lease.run(count_x, std::string(1000, 'x'));
    const auto count = co_await counted;
    CHECK(count == 1000);
    auto summed = lease.run(sum, std::vector<int>(1000, 1));
    const auto total = co_await summed;
    CHECK(total == 1000);
    bool lived = false;
    bool ended = false;
    lease.run_async(looks_at_living, Source(), [&](const lp::Result<bool>& result) {
      lived = result.value();
      ended = true;
    });
    co_await until(loop, [&] { return ended; });
    CHECK(lived);
    auto future = lease.submit(looks_at_living, Source());
    co_await until(loop, [&] { return future.wait_for(0s) == std::future_status::ready; });
    CHECK(future.get());
  });
  on_grinder(ExecutorBackend::thread, {.batch_size_threshold = 1}, [](Bench& bench) -> lp::Task<> {
    auto submitted = bench.grinder.submit(looks_at_living, Source());
    const bool lived_submitted = co_await submitted;
    CHECK(lived_submitted);
    auto pending = bench.grinder.enqueue(looks_at_living, Source());
    const bool lived_pending = co_await pending;
    CHECK(lived_pending);
  });
}

TEST_CASE("E1: an initializer's arguments are kept as a call's are", "[E1]") {
  std::atomic<int> lived = 0;
  std::atomic<int> runs = 0;
  lp::ManagerOptions options = options_for(ExecutorBackend::thread, 1, 3);
  const auto note = [&](SourceView view) {
    ++runs;
    lived += *view.living ? 1 : 0;
  };
  options.initializer = {+[](SourceView view, decltype(note)* noting) { (*noting)(std::move(view)); }, Source(), &note};
  on_manager(options, [&](Manager& /*manager*/) -> lp::Task<> {
    CHECK(runs == 3);
    CHECK(lived == 3);
    co_return;
  });
}

TEST_CASE("E1: a function is registered and called whatever commas its name has", "[E1]") {
  on_lease(both_backends(), [](lp::Loop& /*loop*/, const lp::ExecutorLease& lease) -> lp::Task<> {
    CHECK(co_await lease.run(first_of<int, long>, 7, 8L) == 7);
  });
}

TEST_CASE("E1: an object keeps the class that it has, and a reference wrapper refers", "[E1]") {
  on_lease(ExecutorBackend::thread, [](lp::Loop& /*loop*/, const lp::ExecutorLease& lease) -> lp::Task<> {
    CHECK(co_await lease.run(speak, Dog()) == "woof");
    const Dog dog;
    CHECK(co_await lease.run(speak, dog) == "woof");
    CHECK(co_await lease.run(speak, std::cref(dog)) == "woof");
    CHECK(co_await lease.run([](const Animal& animal) { return animal.says(); }, dog) == "woof");
    const int value = 1;
    CHECK(co_await lease.run(address_of, std::cref(value)) == &value);
    CHECK(co_await lease.run(address_of, value) != &value);
    std::vector<int> values{1};
    const auto size = co_await lease.run(grow, std::ref(values), 2);  // GCC awaits twice what stands in a CHECK
    CHECK(size == 2);
    CHECK(values == std::vector<int>{1, 2});
    CHECK(co_await lease.run(call_it, [](int three) { return three + 1; }) == 4);
    CHECK(co_await lease.run(sum_of_c, 1, 2.0) == 1);
  });
}

TEST_CASE("E1: members are called as std::invoke calls them", "[E1]") {
  on_lease(ExecutorBackend::thread, [](lp::Loop& /*loop*/, const lp::ExecutorLease& lease) -> lp::Task<> {
    Dog dog;
    CHECK(co_await lease.run(&Dog::says_to, dog, "you") == "woof, you");
    CHECK(co_await lease.run(&Dog::says_to, &dog, std::string("you")) == "woof, you");
    CHECK(co_await lease.run(&Dog::says_to, std::ref(dog), "you") == "woof, you");
    CHECK(co_await lease.run(&Dog::says_to, std::make_shared<Dog>(), "you") == "woof, you");
    CHECK(co_await lease.run(&Animal::says, std::make_unique<Dog>()) == "woof");
    CHECK(co_await lease.run(&Dog::name, dog) == "Rex");
    CalledOnce once{std::make_unique<int>(7)};
    auto call = lease.run(std::move(once));
    const auto result = co_await call;
    CHECK(result == 7);
  });
}

TEST_CASE("E1: what a pointer points at is taken at once for a parameter that owns", "[E1]") {
  on_lease(both_backends(), [](lp::Loop& /*loop*/, const lp::ExecutorLease& lease) -> lp::Task<> {
    std::string buffer = "before";
    auto call = lease.run(given, buffer.c_str());
    auto of_array = [&] {
      char array[] = "in an array";
      return lease.run(given, array);
    }();
    buffer = "after!";
    const auto result = co_await call;
    CHECK(result == "before");
    const auto result_of_array = co_await of_array;
    CHECK(result_of_array == "in an array");
  });
  on_lease(ExecutorBackend::thread, [](lp::Loop& /*loop*/, const lp::ExecutorLease& lease) -> lp::Task<> {
    std::string buffer = "/tmp/before";
    auto call = lease.run(file_name, std::string_view(buffer));
    buffer = "/tmp/after!";
    const auto result = co_await call;
    CHECK(result == "before");
  });
}
