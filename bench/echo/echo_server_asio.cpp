// The echo server on asio: async_read_some and async_write, whose callbacks start each other.
#define ASIO_STANDALONE
#include <asio.hpp>

#include <memory>
#include <string>
#include <utility>

#include "echo_server.hpp"

namespace {

using asio::ip::tcp;
using echo::Account;

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, Account& account) : socket_(std::move(socket)), account_(account) {}

  void receive() {
    socket_.async_read_some(asio::buffer(buffer_),
                            [self = shared_from_this()](const asio::error_code& error, std::size_t bytes) {
                              if (!error) self->send(bytes);
                            });
  }

 private:
  void send(std::size_t bytes) {
    asio::async_write(socket_, asio::buffer(buffer_, bytes),
                      [self = shared_from_this()](const asio::error_code& error, std::size_t written) {
                        self->account_.echoed(written);
                        if (!error) self->receive();
                      });
  }

  tcp::socket socket_;
  Account& account_;
  std::byte buffer_[echo::kBufferBytes];
};

class Server {
 public:
  explicit Server(Account& account) : account_(account) {
    stop_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [this](const asio::error_code& /*error*/) { context_.stop(); });
    accept();
    Account::listening(listener_.local_endpoint().port());
    context_.run();
  }

 private:
  void accept() {
    listener_.async_accept([this](const asio::error_code& error, tcp::socket socket) {
      if (!error) {
        account_.connected();
        socket.set_option(tcp::no_delay(true));
        std::make_shared<Connection>(std::move(socket), account_)->receive();
      }
      accept();
    });
  }

  Account& account_;
  asio::io_context context_{1};  // the hint: one thread runs it
  asio::posix::stream_descriptor stop_{context_, echo::stop_descriptor()};
  tcp::acceptor listener_{context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
};

}  // namespace

int main(int count, char** arguments) {
  Account account(count, arguments);
  {
    const Server server(account);
  }
  account.print("asio", std::to_string(ASIO_VERSION / 100000) + '.' + std::to_string(ASIO_VERSION / 100 % 1000) + '.' +
                            std::to_string(ASIO_VERSION % 100));
}
