@echo off
rem Tests the assistant on this machine: finds the program and hands over to it. All checks are in the program, which runs on any
rem 64-bit Windows. Plain cmd, without PowerShell; messages here without accents, whatever the code page is.
setlocal
set "PEDIDO=autoteste"

set "PROGRAMA=%~dp0runtime\windows-x86_64\clinica.exe"
if /i "%PROCESSOR_ARCHITECTURE%"=="AMD64" goto right_machine
if /i "%PROCESSOR_ARCHITEW6432%"=="AMD64" goto right_machine
echo O programa precisa de um Windows de 64 bits com processador Intel ou AMD.
echo Use outro computador.
pause
exit /b 4

:right_machine
rem "Microsoft Windows [versao 10.0.19045]": what is written otherwise is let through.
set "SYSTEM=10"
for /f "tokens=2 delims=[]" %%v in ('ver') do for /f "tokens=2 delims=. " %%n in ("%%v") do set "SYSTEM=%%n"
set /a SYSTEM=SYSTEM+0 >nul 2>nul
if %SYSTEM% EQU 0 set "SYSTEM=10"
if %SYSTEM% GEQ 10 goto right_system
echo O programa precisa do Windows 10 ou mais novo. Use outro computador.
pause
exit /b 4

:right_system
if exist "%PROGRAMA%" goto complete
echo Falta o arquivo runtime\windows-x86_64\clinica.exe
echo Copie a pasta inteira de novo. Se um programa de seguranca o apagou, libere o arquivo.
pause
exit /b 3

:complete
"%PROGRAMA%" %PEDIDO% --pasta "%~dp0." %*
set "CODIGO=%ERRORLEVEL%"
rem A window that was opened by a double click would close before anybody reads the verdict.
pause
exit /b %CODIGO%
