"""`--mode=plan`: will it fit, and how fast can it be, before it is paid for."""
