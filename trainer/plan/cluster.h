#pragma once

#include <string>
#include <vector>

namespace millrace {

/// What connects two ranks.
struct Link {
  double latency = 0;    ///< Seconds that a message takes beside its bytes.
  double bandwidth = 0;  ///< Bytes a second, in each direction; 0: not known.
  bool is_known() const { return bandwidth > 0; }
};

/// The machines that ranks are to run on, all alike.
struct Cluster {
  std::string name;  ///< Of the preset, or the file.
  int ranks_per_machine = 1;
  std::string device = "cpu";     ///< "cpu" or "cuda".
  std::string precision = "f32";  ///< That `operations` were measured in.
  int threads = 1;                ///< Of a rank.
  double memory = 0;              ///< Bytes for a rank: of a card, its own.
  double operations = 0;          ///< Floating-point operations a second that a rank's matrix products reach.
  double memory_bandwidth = 0;    ///< Bytes a second that a rank reads and writes.
  double copy_bandwidth = 0;      ///< The same of one thread, which packs what is sent; 0: all of it.
  double fresh_bandwidth = 0;     ///< Bytes a second that one thread takes anew and fills with zeroes; 0: likewise.
  Link inside;                    ///< From a rank to all others of its machine together.
  Link between;                   ///< From a machine to all others together: its ranks share it.
};

std::vector<std::string> cluster_preset_names();

/// A preset by its name, or else a TOML file, in which a link may be missing. Throws ConfigError: what names neither;
/// in a file as ConfigTable.
Cluster read_cluster(const std::string& name_or_file);

/// A file that is read back to the same, but for its name.
std::string cluster_toml(const Cluster& cluster);

}  // namespace millrace
