// What a hostile function tries, and how that must end under each profile. The table in docs/sandbox.md is made of
// this.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace hostile {

// What there is to aim at.
struct Targets {
  pid_t parent = 0;
  pid_t fork_server = 0;
  pid_t sibling = 0;            // a worker of another pool of the same program
  std::string readable;         // a directory of the read list, with "file" in it
  std::string writable;         // a directory of the write list, with "file" in it
  std::string outside;          // a directory of neither, with "file" in it, which is removed and made by nobody else
  std::string listening_path;   // of a socket of the parent's
  std::string abstract_name;    // of another
  unsigned short tcp_port = 0;  // that the parent listens on

  template <class Archive>
  void serialize(Archive& archive) {
    archive(parent, fork_server, sibling, readable, writable, outside, listening_path, abstract_name, tcp_port);
  }
};

enum class Ending {
  works,      // the function returns
  refused,    // it gets an error code, and what it throws names what it tried
  fatal,      // worker_crashed, which names the system call
  exposed,    // worker_crashed: it broke the protocol
  too_large,  // payload_too_large
  too_late,   // timed_out, at the call's deadline
  untried,    // nothing of ours stands against it, and a test must not try it, or the outcome is the machine's
};

struct Attempt {
  const char* tried;                        // for people
  const char* names;                        // stands in the error
  std::string (*function)(const Targets&);  // registered
  Ending none, compute, files;
};

// Throws std::system_error with errno and the call's name where a call failed.
long tried(long result, const char* call);

std::vector<Attempt> file_attempts();
std::vector<Attempt> process_attempts();
std::vector<Attempt> network_attempts();
std::vector<Attempt> kernel_attempts();
std::vector<Attempt> channel_attempts();

}  // namespace hostile
