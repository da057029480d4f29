// The echo server on leasepool: a coroutine for each connection, in a TaskGroup.
#include <leasepool/io.hpp>
#include <leasepool/listener.hpp>
#include <leasepool/loop.hpp>
#include <leasepool/stream.hpp>
#include <leasepool/task.hpp>
#include <leasepool/task_group.hpp>
#include <leasepool/when_any.hpp>

#include <array>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <span>
#include <utility>

#include "echo_server.hpp"

namespace {

using echo::Account;

leasepool::Task<> echo_back(leasepool::Stream peer, Account& account) {
  std::array<std::byte, echo::kBufferBytes> buffer;
  for (;;) {
    const std::size_t bytes = co_await peer.read(buffer);
    if (bytes == 0) break;
    co_await peer.write(std::span(buffer).first(bytes));
    account.echoed(bytes);
  }
}

leasepool::Task<> accept_all(leasepool::TcpListener& listener, leasepool::TaskGroup& connections, Account& account) {
  for (;;) {
    leasepool::Stream peer = co_await listener.accept();
    account.connected();
    connections.spawn(echo_back(std::move(peer), account));
  }
}

void report(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& thrown) {
    std::fprintf(stderr, "a connection ended: %s\n", thrown.what());
  }
}

leasepool::Task<> serve(leasepool::Loop& loop, Account& account) {
  const int stop = echo::stop_descriptor();
  leasepool::TcpListener listener(loop, {.host = "127.0.0.1", .port = 0});
  leasepool::TaskGroup connections(loop, {.on_error = report});
  Account::listening(listener.port());
  auto accepts = accept_all(listener, connections, account);
  auto stops = leasepool::readable(loop, stop);
  (void)co_await leasepool::when_any(std::move(accepts), std::move(stops));
}

}  // namespace

int main(int count, char** arguments) {
  Account account(count, arguments);
  leasepool::Loop loop;
  loop.block_on(serve(loop, account));
  account.print("leasepool", ECHO_VERSION);
}
