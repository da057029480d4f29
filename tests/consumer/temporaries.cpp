// Awaits with temporaries of which GCC 12 makes two: it is to warn of those lines, which end so, and of no others.
// One that was moved looks to a function as a temporary does.
#include <leasepool/leasepool.hpp>

#include <memory>
#include <string>
#include <utility>

leasepool::Task<> awaits(leasepool::ExecutorLease& lease, leasepool::WorkGrinder& grinder, std::string text) {
  co_await lease.run([text] { return text.size(); });                       // warned of
  co_await lease.with({.timeout = leasepool::Duration(1)}).run([text] {});  // warned of
  co_await grinder.submit([text] { return text.size(); });                  // warned of
  co_await leasepool::when_all(lease.run([text] {}), lease.run([] {}));     // warned of
  auto call = lease.run([text] { return text.size(); });
  co_await call;
  auto first = lease.run([text] {});
  auto second = lease.run([text] {});
  co_await leasepool::when_all(std::move(first), std::move(second));  // warned of
  auto third = lease.run([text] {});
  auto both = leasepool::when_all(std::move(third), lease.run([text] {}));
  co_await both;
  const auto named = [text] { return text.size(); };
  co_await lease.run(named);
  co_await lease.run([](const std::string& given) { return given.size(); }, std::string("a"));
  int number = 1;
  co_await lease.run([number] { return number; });
}
