#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "tests/stages/tokenizer/model_file.h"

namespace millrace {

/// Characters of random vocabularies and texts: of each UTF-8 length, contained in few or many pieces.
inline constexpr std::array kAlphabet{"a",
                                      "b",
                                      "-",
                                      "1",
                                      ".",
                                      "\n",
                                      "\t",
                                      "\xC3\xA9",
                                      "\xE6\x97\xA5",
                                      "\xE6\x9C\xAC",
                                      "\xE2\x80\x9D",
                                      "\xF0\x9F\x98\x80",
                                      "\xE2\x96\x81",
                                      "\xEF\xBF\xBD"};

inline constexpr const char* kBallast = "!";

/// An unrealistic vocabulary: few pieces, tied scores, all types and options. `draw(n)` gives a number below n.
template <typename Draw>
ModelFile random_model(Draw draw) {
  static constexpr std::array kScales{1.0F, 1.0F, 100.0F, 30000.0F};
  ModelFile model;
  model.byte_fallback = draw(2) == 0;
  model.add_dummy_prefix = draw(4) != 0;
  model.remove_extra_whitespaces = draw(3) == 0;
  model.whitespace_as_suffix = draw(6) == 0;
  model.escape_whitespaces = draw(6) != 0;
  model.add_special_pieces();
  const bool coarse = draw(2) == 0;
  const bool positive = draw(10) == 0;
  const float scale = kScales[draw(kScales.size())];
  const auto add = [&](const std::string& text) {
    const auto same = [&](const ModelFile::Piece& piece) { return piece.text == text; };
    if (std::ranges::any_of(model.pieces, same)) return;
    const float score =
        coarse ? -0.5F * static_cast<float>(1 + draw(8)) : -static_cast<float>(1 + draw(1 << 24)) / 1e6F;
    const auto kind = draw(20);
    const PieceType type = kind == 0 ? PieceType::user_defined : kind == 1 ? PieceType::unused : PieceType::normal;
    model.pieces.push_back({text, scale * (positive && draw(5) == 0 ? -score : score), type});
  };
  for (const char* character : kAlphabet) {
    if (draw(5) != 0) add(character);
  }
  if (draw(2) == 0) {
    // A character whose score makes the sum so large that floats are 1/8 to 8 apart, or nearly a power of two.
    const float power = static_cast<float>(1U << (20 + draw(7)));
    model.pieces.push_back({kBallast, -(power - static_cast<float>(draw(64))), PieceType::normal});
  }
  for (auto pieces = draw(40); pieces > 0; --pieces) {
    std::string text;
    for (auto length = 1 + draw(6); length > 0; --length) text += kAlphabet[draw(kAlphabet.size())];
    if (draw(3) == 0) text = std::string(1 + draw(16), "-a "[draw(3)]);
    add(text);
  }
  return model;
}

/// Text for such a vocabulary: runs, blanks, bytes that are not UTF-8.
template <typename Draw>
std::string random_text(Draw draw) {
  std::string text;
  for (auto parts = draw(60); parts > 0; --parts) {
    switch (draw(10)) {
      case 0:
        text += std::string(1 + draw(12), ' ');
        break;
      case 1:
        text += std::string(1 + draw(120), "-ab"[draw(3)]);
        break;
      case 2:
        text += static_cast<char>(draw(256));
        break;
      case 3:
        text += kBallast;
        break;
      case 4:
        for (auto times = 1 + draw(6); times > 0; --times)
          text += text.substr(text.size() - std::min<std::size_t>(text.size(), 9));
        break;
      default:
        for (auto length = 1 + draw(9); length > 0; --length) text += kAlphabet[draw(kAlphabet.size())];
    }
  }
  return text;
}

}  // namespace millrace
