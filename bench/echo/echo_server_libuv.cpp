// The echo server on libuv: what has come is written at once, and only what the socket does not take then is queued.
#include <uv.h>

#include <netinet/in.h>

#include "echo_server.hpp"

namespace {

using echo::Account;

void check(int result, const char* what) {
  if (result < 0) echo::fail(std::string(what) + ": " + uv_strerror(result));
}

template <class Handle>
uv_stream_t* as_stream(Handle* handle) {
  return reinterpret_cast<uv_stream_t*>(handle);
}

template <class Handle>
uv_handle_t* as_handle(Handle* handle) {
  return reinterpret_cast<uv_handle_t*>(handle);
}

class Connection {
 public:
  static void accept(uv_stream_t* listener, Account& account) {
    auto* const self = new Connection(*listener->loop, account);
    if (uv_accept(listener, as_stream(&self->socket_)) != 0) return self->close();
    account.connected();
    uv_tcp_nodelay(&self->socket_, 1);
    self->receive();
  }

  void close() {
    if (uv_is_closing(as_handle(&socket_)) != 0) return;  // a write that was cancelled for it
    uv_close(as_handle(&socket_), [](uv_handle_t* handle) { delete static_cast<Connection*>(handle->data); });
  }

 private:
  Connection(uv_loop_t& loop, Account& account) : account_(account) {
    uv_tcp_init(&loop, &socket_);
    socket_.data = this;
    rest_.data = this;
  }

  void receive() {
    uv_read_start(
        as_stream(&socket_),
        [](uv_handle_t* handle, std::size_t /*suggested*/, uv_buf_t* buffer) {
          *buffer = uv_buf_init(static_cast<Connection*>(handle->data)->buffer_, echo::kBufferBytes);
        },
        [](uv_stream_t* stream, ssize_t bytes, const uv_buf_t* /*buffer*/) {
          auto* const self = static_cast<Connection*>(stream->data);
          if (bytes < 0) return self->close();
          if (bytes > 0) self->send(static_cast<unsigned>(bytes));
        });
  }

  void send(unsigned bytes) {
    uv_buf_t buffer = uv_buf_init(buffer_, bytes);
    const int at_once = uv_try_write(as_stream(&socket_), &buffer, 1);
    const unsigned written = at_once > 0 ? static_cast<unsigned>(at_once) : 0;
    account_.echoed(bytes);
    if (written == bytes) return;
    uv_read_stop(as_stream(&socket_));  // until its buffer is free again
    buffer = uv_buf_init(buffer_ + written, bytes - written);
    uv_write(&rest_, as_stream(&socket_), &buffer, 1, [](uv_write_t* rest, int status) {
      auto* const self = static_cast<Connection*>(rest->data);
      status < 0 ? self->close() : self->receive();
    });
  }

  Account& account_;
  uv_tcp_t socket_{};
  uv_write_t rest_{};
  char buffer_[echo::kBufferBytes];
};

void serve(Account& account) {
  uv_loop_t loop{};
  uv_tcp_t listener{};
  uv_poll_t stop{};
  check(uv_loop_init(&loop), "no loop");
  check(uv_tcp_init(&loop, &listener), "no socket");
  listener.data = &account;
  sockaddr_in address{};
  uv_ip4_addr("127.0.0.1", 0, &address);
  check(uv_tcp_bind(&listener, reinterpret_cast<sockaddr*>(&address), 0), "cannot bind");
  check(uv_listen(as_stream(&listener), SOMAXCONN,
                  [](uv_stream_t* stream, int status) {
                    if (status == 0) Connection::accept(stream, *static_cast<Account*>(stream->data));
                  }),
        "cannot listen");
  int bytes = sizeof address;
  check(uv_tcp_getsockname(&listener, reinterpret_cast<sockaddr*>(&address), &bytes), "no port");
  check(uv_poll_init(&loop, &stop, echo::stop_descriptor()), "cannot watch for the end");
  uv_poll_start(&stop, UV_READABLE, [](uv_poll_t* poll, int /*status*/, int /*events*/) { uv_stop(poll->loop); });
  Account::listening(ntohs(address.sin_port));
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_close(as_handle(&listener), nullptr);
  uv_close(as_handle(&stop), nullptr);
  const auto close_connection = [](uv_handle_t* handle, void* /*unused*/) {
    if (uv_is_closing(handle) == 0) static_cast<Connection*>(handle->data)->close();  // the others are
  };
  uv_walk(&loop, close_connection, nullptr);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
}

}  // namespace

int main(int count, char** arguments) {
  Account account(count, arguments);
  serve(account);
  account.print("libuv", uv_version_string());
}
