// What the command line says.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

struct Options {
  std::string host = "127.0.0.1";
  int port = 8080;
  std::size_t workers = 2;
  bool clean = false;                                 // a process of its own for each image
  bool allow_crash = false;                           // POST /crash
  std::chrono::milliseconds deadline{3000};           // of one image
  std::chrono::milliseconds client_time{10'000};      // for a client to send a request, or to take its answer
  std::uint64_t most_bytes = std::uint64_t{8} << 20;  // of an upload
  std::uint64_t most_pixels = 25'000'000;
  std::size_t most_waiting = 32;                       // uploads that wait for a worker
  std::size_t worker_memory = std::size_t{768} << 20;  // bytes of address space; 0: no limit
};

/// Prints what is wrong, or what was asked for, and ends the program where there is nothing to serve.
Options parse_options(int argc, char** argv);
