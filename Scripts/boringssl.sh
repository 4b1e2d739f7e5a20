# Sourced by scripts that compile a part of the project alone: makes the TLS library usable without the package manager.
#   boringssl FOLDER     puts libCNIOBoringSSL.a and include/CNIOBoringSSL/module.modulemap into FOLDER
boringssl() {
  local folder=$1 built=.build/release headers
  swift build -c release --target MeshTLS >&2
  headers=$PWD/.build/checkouts/swift-nio-ssl/Sources/CNIOBoringSSL/include
  mkdir -p "$folder/include/CNIOBoringSSL"
  rm -f "$folder/libCNIOBoringSSL.a"
  find "$built/CNIOBoringSSL.build/" -name '*.o' -print0 | xargs -0 ar rcs "$folder/libCNIOBoringSSL.a"
  ln -sfn "$headers" "$folder/include/CNIOBoringSSL/include"
  cat >"$folder/include/CNIOBoringSSL/module.modulemap" <<'MAP'
module CNIOBoringSSL [system] {
  umbrella header "include/CNIOBoringSSL.h"
  exclude header "include/CNIOBoringSSL_prefix_symbols_internal_c.h"
  exclude header "include/CNIOBoringSSL_prefix_symbols_internal_S.h"
  export *
}
MAP
}
