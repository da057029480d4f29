// Starting and ending a nats-server.
#include "nats/nats_server.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "support/eventually.hpp"

namespace leasepool::test {

namespace {

std::string find_program() {
  const char* const path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe)
  std::istringstream places(std::string(path == nullptr ? "" : path) + ":/usr/sbin:/usr/local/bin");
  for (std::string place; std::getline(places, place, ':');) {
    const std::string candidate = place + "/nats-server";
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

std::string text_of_file(const std::string& name) {
  std::ostringstream text;
  text << std::ifstream(name).rdbuf();
  return text.str();
}

}  // namespace

const std::string& NatsServer::program() {
  static const std::string found = find_program();
  return found;
}

NatsServer::NatsServer(const std::string& configuration) : configuration_(configuration) { start(); }

NatsServer::~NatsServer() { kill(); }

void NatsServer::write_file(const std::string& name, const std::string& text) const {
  std::ofstream(path(name)) << text;
}

std::string NatsServer::log() const { return text_of_file(path("log")); }

void NatsServer::start() {
  write_file("nats.conf", "listen: \"127.0.0.1:" + std::to_string(port_ == 0 ? -1 : port_) + "\"\nports_file_dir: \"" +
                              directory_.path().string() + "\"\nlog_file: \"" + path("log") + "\"\n" + configuration_);
  const std::string config = path("nats.conf");
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int nowhere = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2; ++fd) ::dup2(nowhere, fd);
    ::execl(program().c_str(), "nats-server", "-c", config.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  // The file is there when it listens.
  const std::string ports = path("nats-server_" + std::to_string(pid_) + ".ports");
  std::string text;
  if (!eventually([&] { return (text = text_of_file(ports)).find(']') != std::string::npos; })) {
    throw std::runtime_error("nats-server does not start: " + log());
  }
  const std::size_t colon = text.find("127.0.0.1:");
  if (colon == std::string::npos) throw std::runtime_error("nats-server listens elsewhere: " + text);
  port_ = static_cast<std::uint16_t>(std::stoi(text.substr(colon + 10)));
}

void NatsServer::kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

void NatsServer::signal(int number) const { ::kill(pid_, number); }

}  // namespace leasepool::test
