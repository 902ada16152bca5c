#include "trainer/ranked/expert_group.h"

#include <cstddef>
#include <vector>

namespace millrace {

void ExpertGroup::wait(Pending begun) {
  const Activity::State before = activity_.state();
  activity_.begin(Activity::Kind::exchanges, "tokens for experts");
  ranks_.wait(begun);
  activity_.begin(before.kind, before.doing);
}

void ExpertGroup::gather(In mine, Out all) {
  std::vector<Communicator::Out> places;
  for (std::size_t i = 0; i < static_cast<std::size_t>(ranks_.size()); ++i)
    places.push_back(all.subspan(i * mine.size(), mine.size()));
  wait(ranks_.all_gather(mine, places));
}

void ExpertGroup::swap(std::span<const In> to, std::span<const Out> from) {
  wait(ranks_.all_to_all(to, from));
}

}  // namespace millrace
