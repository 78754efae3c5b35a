# `make install`: library, public headers, pkg-config file, command, man page.
include(GNUInstallDirs)

install(TARGETS kua ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/kua DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# Written at install time, when the prefix is known: `cmake --install --prefix P` may differ from what was configured.
install(CODE "
    set(PROJECT_VERSION ${PROJECT_VERSION})
    set(CMAKE_INSTALL_LIBDIR ${CMAKE_INSTALL_LIBDIR})
    set(CMAKE_INSTALL_INCLUDEDIR ${CMAKE_INSTALL_INCLUDEDIR})
    configure_file(${CMAKE_CURRENT_SOURCE_DIR}/cmake/kua.pc.in ${CMAKE_CURRENT_BINARY_DIR}/kua.pc @ONLY)")
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/kua.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET kua_cli)
    install(TARGETS kua_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    set(man_in ${CMAKE_CURRENT_SOURCE_DIR}/docs/man/kua.1.in)
    set(man_tool ${CMAKE_CURRENT_SOURCE_DIR}/tools/make-man)
    set(man ${CMAKE_CURRENT_BINARY_DIR}/kua.1)
    add_custom_command(OUTPUT ${man} COMMAND ${man_tool} $<TARGET_FILE:kua_cli> ${man_in} ${man}
        DEPENDS kua_cli ${man_in} ${man_tool} COMMENT "Writing the man page" VERBATIM)
    add_custom_target(kua_man ALL DEPENDS ${man})
    install(FILES ${man} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
