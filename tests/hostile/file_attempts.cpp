// Files: in the lists, beside them, and around them.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <leasepool/leasepool.hpp>

#include <cstdio>

#include "attempts.hpp"

namespace hostile::files {

namespace {

// Reads or writes a byte.
std::string use(const std::string& path, int flags) {
  const auto fd = static_cast<int>(tried(::open(path.c_str(), flags | O_CLOEXEC, 0600), "open()"));
  char byte = 'x';
  if ((flags & O_ACCMODE) == O_RDONLY) {
    tried(::read(fd, &byte, 1), "read()");
  } else {
    tried(::pwrite(fd, &byte, 1, 0), "write()");
  }
  ::close(fd);
  return {};
}

}  // namespace

std::string read_outside(const Targets& at) { return use(at.outside + "/file", O_RDONLY); }
std::string read_listed(const Targets& at) { return use(at.readable + "/file", O_RDONLY); }
std::string read_write_only(const Targets& at) { return use(at.writable + "/file", O_RDONLY); }
std::string write_outside(const Targets& at) { return use(at.outside + "/file", O_WRONLY); }
std::string write_listed(const Targets& at) { return use(at.writable + "/file", O_WRONLY); }
std::string write_read_only(const Targets& at) { return use(at.readable + "/file", O_WRONLY); }
std::string make_outside(const Targets& at) { return use(at.outside + "/new", O_WRONLY | O_CREAT); }
std::string empty_read_only(const Targets& at) { return use(at.readable + "/file", O_RDONLY | O_TRUNC); }
std::string escape_by_dots(const Targets& at) { return use(at.readable + "/../outside/file", O_RDONLY); }
std::string read_parents_memory(const Targets& at) {
  return use("/proc/" + std::to_string(at.parent) + "/mem", O_RDONLY);
}
std::string write_parents_memory(const Targets& at) {
  return use("/proc/" + std::to_string(at.parent) + "/mem", O_WRONLY);
}
std::string read_parents_environment(const Targets& at) {
  return use("/proc/" + std::to_string(at.parent) + "/environ", O_RDONLY);
}
std::string reopen_descriptor(const Targets& /*at*/) { return use("/proc/self/fd/0", O_RDONLY); }
std::string list_outside(const Targets& at) {
  DIR* const directory = ::opendir(at.outside.c_str());
  tried(directory == nullptr ? -1 : 0, "opendir()");
  ::closedir(directory);
  return {};
}
std::string see_outside(const Targets& at) {
  struct stat status{};
  tried(::stat((at.outside + "/file").c_str(), &status), "stat()");
  return {};
}
std::string make_and_remove_listed(const Targets& at) {
  const std::string made = at.writable + "/made";
  const std::string renamed = at.writable + "/renamed";
  use(made, O_WRONLY | O_CREAT);
  tried(::rename(made.c_str(), renamed.c_str()), "rename()");
  tried(::unlink(renamed.c_str()), "unlink()");
  return {};
}
std::string remove_outside(const Targets& at) {
  tried(::unlink((at.outside + "/file").c_str()), "unlink()");
  return {};
}
std::string move_out(const Targets& at) {
  tried(::rename((at.writable + "/file").c_str(), (at.outside + "/stolen").c_str()), "rename()");
  return {};
}
std::string link_in(const Targets& at) {
  tried(::link((at.outside + "/file").c_str(), (at.writable + "/link").c_str()), "link()");
  return {};
}
std::string follow_own_symlink(const Targets& at) {
  const std::string link = at.writable + "/symlink";
  tried(::symlink((at.outside + "/file").c_str(), link.c_str()), "open() through a symlink()");
  const auto remove = [](const char* path) { ::unlink(path); };
  try {
    use(link, O_WRONLY);
  } catch (...) {
    remove(link.c_str());
    throw;
  }
  remove(link.c_str());
  return {};
}
std::string truncate_outside(const Targets& at) {
  tried(::truncate((at.outside + "/file").c_str(), 0), "truncate()");
  return {};
}
std::string change_mode(const Targets& at) {
  tried(::chmod((at.outside + "/file").c_str(), 0777), "chmod()");
  return {};
}
std::string change_owner(const Targets& at) {
  tried(::chown((at.outside + "/file").c_str(), ::getuid(), ::getgid()), "chown()");
  return {};
}
std::string change_times(const Targets& at) {
  tried(::utimensat(AT_FDCWD, (at.outside + "/file").c_str(), nullptr, 0), "utimensat()");
  return {};
}
std::string set_attribute(const Targets& at) {
  tried(::setxattr((at.outside + "/file").c_str(), "user.mark", "x", 1, 0), "setxattr()");
  return {};
}
std::string make_device(const Targets& at) {
  tried(::mknod((at.writable + "/zero").c_str(), S_IFCHR | 0600, makedev(1, 5)), "mknod()");
  return {};
}
std::string watch_outside(const Targets& at) {
  const auto fd = static_cast<int>(tried(::inotify_init1(IN_CLOEXEC), "inotify_init1()"));
  tried(::inotify_add_watch(fd, at.outside.c_str(), IN_ALL_EVENTS), "inotify_add_watch()");
  ::close(fd);
  return {};
}
std::string open_by_handle(const Targets& at) {
  struct file_handle handle{};
  int mount = 0;
  handle.handle_bytes = 0;
  ::name_to_handle_at(AT_FDCWD, at.outside.c_str(), &handle, &mount, 0);
  return {};
}

}  // namespace hostile::files

LEASEPOOL_REGISTER(hostile::files::read_outside);
LEASEPOOL_REGISTER(hostile::files::read_listed);
LEASEPOOL_REGISTER(hostile::files::read_write_only);
LEASEPOOL_REGISTER(hostile::files::write_outside);
LEASEPOOL_REGISTER(hostile::files::write_listed);
LEASEPOOL_REGISTER(hostile::files::write_read_only);
LEASEPOOL_REGISTER(hostile::files::make_outside);
LEASEPOOL_REGISTER(hostile::files::empty_read_only);
LEASEPOOL_REGISTER(hostile::files::escape_by_dots);
LEASEPOOL_REGISTER(hostile::files::read_parents_memory);
LEASEPOOL_REGISTER(hostile::files::write_parents_memory);
LEASEPOOL_REGISTER(hostile::files::read_parents_environment);
LEASEPOOL_REGISTER(hostile::files::reopen_descriptor);
LEASEPOOL_REGISTER(hostile::files::list_outside);
LEASEPOOL_REGISTER(hostile::files::see_outside);
LEASEPOOL_REGISTER(hostile::files::make_and_remove_listed);
LEASEPOOL_REGISTER(hostile::files::remove_outside);
LEASEPOOL_REGISTER(hostile::files::move_out);
LEASEPOOL_REGISTER(hostile::files::link_in);
LEASEPOOL_REGISTER(hostile::files::follow_own_symlink);
LEASEPOOL_REGISTER(hostile::files::truncate_outside);
LEASEPOOL_REGISTER(hostile::files::change_mode);
LEASEPOOL_REGISTER(hostile::files::change_owner);
LEASEPOOL_REGISTER(hostile::files::change_times);
LEASEPOOL_REGISTER(hostile::files::set_attribute);
LEASEPOOL_REGISTER(hostile::files::make_device);
LEASEPOOL_REGISTER(hostile::files::watch_outside);
LEASEPOOL_REGISTER(hostile::files::open_by_handle);

namespace hostile {

std::vector<Attempt> file_attempts() {
  using namespace files;
  using enum Ending;
  return {
      {"read a file of the read list", "open()", read_listed, works, refused, works},
      {"write to a file of the read list", "open()", write_read_only, works, refused, refused},
      {"empty a file of the read list, by `O_RDONLY \\| O_TRUNC`", "open()", empty_read_only, works, refused, refused},
      {"write to a file of the write list", "open()", write_listed, works, refused, works},
      {"make, rename and remove a file in a directory of the write list", "open()", make_and_remove_listed, works,
       refused, works},
      {"read a file that is in the write list alone", "open()", read_write_only, works, refused, refused},
      {"read a file outside the lists", "open()", read_outside, works, refused, refused},
      {"read it through `..` of a listed directory", "open()", escape_by_dots, works, refused, refused},
      {"write to a file outside the lists", "open()", write_outside, works, refused, refused},
      {"write to it through a symbolic link that it made in a listed directory", "open()", follow_own_symlink, works,
       refused, refused},
      {"make a file outside the lists", "open()", make_outside, works, refused, refused},
      {"truncate a file outside the lists", "truncate()", truncate_outside, works, refused, refused},
      {"hard-link a file outside the lists into a listed directory", "link()", link_in, works, refused, refused},
      {"move a file of the write list out of it", "rename()", move_out, works, refused, refused},
      {"list a directory outside the lists", "opendir()", list_outside, works, refused, refused},
      {"see that a file outside the lists exists, its size and times", "stat()", see_outside, works, refused, works},
      {"change a file's mode", "chmod()", change_mode, works, refused, refused},
      {"change a file's owner", "chown()", change_owner, works, refused, refused},
      {"change a file's times", "utimensat()", change_times, works, refused, refused},
      {"set an extended attribute", "setxattr()", set_attribute, untried, refused, refused},
      {"remove a file outside the lists", "unlink()", remove_outside, works, refused, refused},
      {"watch a directory (inotify)", "inotify_init1()", watch_outside, works, refused, refused},
      {"make a device node in a listed directory", "mknod()", make_device, untried, refused, refused},
      {"get a file's handle, to open it past its path", "name_to_handle_at()", open_by_handle, works, fatal, fatal},
      {"read the parent's memory (`/proc/PARENT/mem`)", "open()", read_parents_memory, untried, refused, refused},
      {"write the parent's memory (`/proc/PARENT/mem`)", "open()", write_parents_memory, untried, refused, refused},
      {"read the parent's environment (`/proc/PARENT/environ`)", "open()", read_parents_environment, untried, refused,
       refused},
      {"open a descriptor of its own again (`/proc/self/fd/0`)", "open()", reopen_descriptor, works, refused, refused},
  };
}

}  // namespace hostile
